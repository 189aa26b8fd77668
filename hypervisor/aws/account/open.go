package account

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
)

// Account is somebody who may ask. It may be used from several goroutines.
type Account struct {
	access Access
	config aws.Config
}

// Open finds the credentials and the region of an access. It asks no service of AWS about them: see [Region.Whoami].
func Open(ctx context.Context, a Access) (*Account, error) {
	if err := a.Check(); err != nil {
		return nil, err
	}
	c, err := config.LoadDefaultConfig(ctx, a.options)
	if err != nil {
		return nil, fmt.Errorf("the configuration of the AWS tools cannot be used: %w", err)
	}
	if c.Region == "" {
		return nil, fmt.Errorf("no region: set region in the template, or AWS_REGION, or region in the profile")
	}
	c.Retryer = a.retryer
	if a.Role != nil {
		c.Credentials = aws.NewCredentialsCache(assume(c, a))
	}
	return &Account{a, c}, nil
}

// options puts what the access says over what the environment says.
func (a Access) options(o *config.LoadOptions) error {
	o.Region, o.SharedConfigProfile = a.Region, a.Profile
	if a.CredentialsFile != "" {
		o.SharedCredentialsFiles = []string{a.CredentialsFile}
	}
	if id, secret, token, _ := a.Keys.Reveal(); id != "" {
		o.Credentials = credentials.NewStaticCredentialsProvider(id, secret, token)
	}
	if a.SkipMetadata {
		o.EC2IMDSClientEnableState = imds.ClientDisabled
	}
	if a.InsecureTLS {
		o.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.TLSClientConfig = &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12} // the template asks for it
		})
	}
	o.AssumeRoleCredentialOptions = func(r *stscreds.AssumeRoleOptions) { r.TokenProvider = a.code() } // of profiles with a role
	return nil
}

// code returns the second factor. Nobody can be asked for one: a daemon has no terminal.
func (a Access) code() func() (string, error) {
	_, _, _, mfa := a.Keys.Reveal()
	return func() (string, error) {
		if mfa == "" {
			return "", fmt.Errorf("the profile wants a second factor: set mfa_code")
		}
		return mfa, nil
	}
}

// assume makes the credentials of a role.
func assume(c aws.Config, a Access) aws.CredentialsProvider {
	client := sts.NewFromConfig(c, func(o *sts.Options) { o.BaseEndpoint = a.endpoint(o.BaseEndpoint) })
	return stscreds.NewAssumeRoleProvider(assumer{client.AssumeRole}, a.Role.ARN, func(o *stscreds.AssumeRoleOptions) {
		r := a.Role
		o.RoleSessionName = cmp.Or(r.SessionName, "boxkiln")
		o.Duration = cmp.Or(r.Duration, o.Duration)
		o.TransitiveTagKeys = r.Transitive
		if r.ExternalID != "" {
			o.ExternalID = &r.ExternalID
		}
		if r.Policy != "" {
			o.Policy = &r.Policy
		}
		for _, arn := range r.PolicyARNs {
			o.PolicyARNs = append(o.PolicyARNs, ststypes.PolicyDescriptorType{Arn: &arn})
		}
		for key, value := range r.Tags {
			o.Tags = append(o.Tags, ststypes.Tag{Key: &key, Value: &value})
		}
	})
}

// assumer is a client of STS with one method: see the package's comment on interfaces.
type assumer struct {
	assume func(context.Context, *sts.AssumeRoleInput, ...func(*sts.Options)) (*sts.AssumeRoleOutput, error)
}

func (a assumer) AssumeRole(ctx context.Context, in *sts.AssumeRoleInput, o ...func(*sts.Options)) (*sts.AssumeRoleOutput, error) {
	out, err := a.assume(ctx, in, o...)
	return out, Explain(err, "sts:AssumeRole")
}

// endpoint is where a service is asked: at the address that the environment names for it, or else at that of the template.
func (a Access) endpoint(fromEnvironment *string) *string {
	if fromEnvironment != nil || a.Endpoint == "" {
		return fromEnvironment
	}
	return &a.Endpoint
}

// exhausted are errors that mean that something is not there now. They come with status 500 or 503, and still another type
// or zone helps more than another try.
var exhausted = []string{"InsufficientInstanceCapacity", "InsufficientHostCapacity", "InsufficientReservedInstanceCapacity", "InsufficientCapacity"}

// retryer tries calls again, with pauses that grow. There is no budget of tries that all calls share: builds are few, and a storm
// of throttling has to be outlasted.
func (a Access) retryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = cmp.Or(a.Tries, DefaultTries)
		o.MaxBackoff = cmp.Or(a.MaxPause, maxPause)
		o.RateLimiter = unlimited{}
		o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
			if slices.Contains(exhausted, Code(err)) {
				return aws.FalseTernary
			}
			return aws.UnknownTernary
		})}, o.Retryables...)
	})
}

// unlimited is a budget of retries that never ends.
type unlimited struct{}

func (unlimited) GetToken(context.Context, uint) (func() error, error) {
	return func() error { return nil }, nil
}

func (unlimited) AddTokens(uint) error { return nil }

// Region is the name of the region that the access or its environment says.
func (a *Account) Region() string { return a.config.Region }

// Endpoint is the address of another EC2 API than Amazon's, empty for that.
func (a *Account) Endpoint() string {
	if a.access.Endpoint != "" {
		return a.access.Endpoint
	}
	if e := ec2.NewFromConfig(a.config).Options().BaseEndpoint; e != nil {
		return *e
	}
	return ""
}

// In returns the calls in a region; "" is that of the access.
func (a *Account) In(region string) *Region {
	c := a.config.Copy()
	c.Region = cmp.Or(region, c.Region)
	r := &Region{Name: c.Region, Poll: a.access.Polling.Poll()}
	r.EC2 = ec2Calls(ec2.NewFromConfig(c, func(o *ec2.Options) { // the template's address comes before that of the environment
		if a.access.Endpoint != "" {
			o.BaseEndpoint = &a.access.Endpoint
		}
	}))
	r.EBS = ebsCalls(ebs.NewFromConfig(c, func(o *ebs.Options) { o.BaseEndpoint = a.access.endpoint(o.BaseEndpoint) }))
	r.SSM = ssmCalls(ssm.NewFromConfig(c))
	r.STS = stsCalls(sts.NewFromConfig(c, func(o *sts.Options) { o.BaseEndpoint = a.access.endpoint(o.BaseEndpoint) }))
	return r
}
