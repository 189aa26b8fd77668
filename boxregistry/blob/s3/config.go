package s3

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
)

// Config says where the bucket is and how it is spoken to. Bucket is required.
type Config struct {
	Bucket string
	Prefix string // of every key; empty, or ends in a slash
	// Endpoint is the URL of the service; empty for Amazon's.
	Endpoint string
	// PublicEndpoint is the URL under which clients reach the service, for links; empty if it is Endpoint.
	PublicEndpoint string
	// Region is the one to sign for. Empty takes that of the AWS configuration and, with an Endpoint, us-east-1.
	Region string
	// PathStyle puts the bucket into the path instead of the host's name.
	PathStyle bool
	// PartSize is how many bytes the first parts of an upload have, from 5 MiB to 1 GiB; 0 for 8 MiB. After every
	// thousand parts it doubles.
	PartSize int64
	// Credentials of the service; nil for the usual chain of AWS: environment, shared files, role of the machine.
	Credentials aws.CredentialsProvider
	// Owner names the installation whose daemon uses the prefix, and keeps others away. Empty for no such check.
	Owner string
	// Spool is where parts wait that are too large for memory; empty for the system's temporary directory.
	Spool string
}

const (
	defaultPart = 8 << 20
	minPart     = 5 << 20 // S3 refuses smaller ones
	maxFirst    = 1 << 30
	// attempts is how often a request is tried, with growing pauses between.
	attempts = 5
	// defaultRegion is what services take that have no regions.
	defaultRegion = "us-east-1"
)

// ParseURL reads s3://BUCKET/PREFIX?endpoint=URL&region=NAME&path_style=true&part_size=MIB&public_endpoint=URL. Keys do not
// belong there, since everybody on the machine sees what a program was started with: they come by the usual chain of AWS.
func ParseURL(text string) (Config, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "s3" || u.Host == "" {
		return Config{}, errors.New("want s3://BUCKET/PREFIX?endpoint=URL&region=NAME&path_style=true")
	}
	if u.User != nil {
		return Config{}, errors.New("the URL of a bucket takes no keys: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use a profile")
	}
	c := Config{Bucket: u.Host}
	if p := strings.Trim(u.Path, "/"); p != "" {
		c.Prefix = p + "/"
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Config{}, err
	}
	for name, values := range query {
		if err := c.set(name, values[len(values)-1]); err != nil {
			return Config{}, err
		}
	}
	return c, nil
}

func (c *Config) set(name, value string) (err error) {
	switch name {
	case "endpoint":
		c.Endpoint, err = endpoint(value)
	case "public_endpoint":
		c.PublicEndpoint, err = endpoint(value)
	case "region":
		c.Region = value
	case "path_style":
		c.PathStyle, err = strconv.ParseBool(value)
	case "part_size":
		c.PartSize, err = partMiB(value)
	default:
		return fmt.Errorf("%q is not known: there are endpoint, public_endpoint, region, path_style and part_size", name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err) // without the value, which may hold a password
	}
	return nil
}

func endpoint(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || (u.Scheme != "http" && u.Scheme != "https") {
		return "", errors.New("want a URL such as https://minio.example.org:9000")
	}
	return strings.TrimSuffix(text, "/"), nil
}

func partMiB(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 32)
	if size := n << 20; err == nil && size >= minPart && size <= maxFirst {
		return size, nil
	}
	return 0, fmt.Errorf("want a number of MiB from %d to %d", minPart>>20, maxFirst>>20)
}

// String names the place, without anything secret.
func (c Config) String() string {
	name := "s3://" + c.Bucket + "/" + c.Prefix
	if c.Endpoint != "" {
		name += " at " + c.Endpoint
	}
	return name
}

// clients makes the client of the service, and that of the addresses that links have.
func (c Config) clients(ctx context.Context) (*awss3.Client, *awss3.PresignClient, error) {
	base, err := config.LoadDefaultConfig(ctx, func(o *config.LoadOptions) error {
		o.Region, o.Credentials = c.Region, c.Credentials
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("AWS configuration: %w", err)
	}
	if base.Region == "" {
		if c.Endpoint == "" {
			return nil, nil, fmt.Errorf("%s: in which region is the bucket? Add ?region=NAME or set AWS_REGION", c)
		}
		base.Region = defaultRegion
	}
	client := awss3.NewFromConfig(base, c.options(c.Endpoint))
	public := client
	if c.PublicEndpoint != "" {
		public = awss3.NewFromConfig(base, c.options(c.PublicEndpoint))
	}
	return client, awss3.NewPresignClient(public), nil
}

func (c Config) options(endpoint string) func(*awss3.Options) {
	return func(o *awss3.Options) {
		if endpoint != "" {
			o.BaseEndpoint = &endpoint
		}
		o.UsePathStyle = c.PathStyle
		o.Retryer = retry.AddWithMaxAttempts(retry.NewStandard(), attempts)
		// Not every service knows the newer checksums, and the signature holds one already.
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	}
}
