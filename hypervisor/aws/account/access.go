// Package account is the connection to an AWS account, as everything below hypervisor/aws uses it.
//
// An [Access] says who asks, where and how patiently; [Open] makes an [Account] of it and [Account.In] the calls in one region.
// A [Region] is a table of function values, one for each action that is called anywhere in Boxkiln: so a test replaces one of them,
// and the list of actions that a policy has to allow is this table. (It is no interface for a second reason: text/template
// calls methods by name, so the linker keeps all methods of a type that becomes an interface, and a client of EC2 has 700 of them.)
//
// What a call needs is done here once: it is tried again when AWS is busy, with pauses that grow; its error says which action
// failed, why and what to do about it (see [Explain]), and which permission is missing. States are waited for with [Poll], which
// knows that AWS is eventually consistent. Objects are made with the tags of a build ([Tags], [Specification]) and a token ([Token]),
// in the call that makes them, so that they are found again whatever happens ([Filters]).
//
// Credentials are never part of an error or a log. Sources: the SDK's own documentation; EC2 API reference 2016-11-15; Packer's
// packer-plugin-amazon common/access_config.go for what templates say.
package account

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"time"
)

// Access says who asks, in which region, and how. What is missing comes from the environment and the shared files of the AWS
// tools, as everywhere else: AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL_EC2, AWS_ENDPOINT_URL_EBS, AWS_ENDPOINT_URL_STS ...
//
// Its JSON has no secrets: those are in Keys, which is kept apart.
type Access struct {
	Region          string `json:"region,omitempty"`
	Profile         string `json:"profile,omitempty"`
	CredentialsFile string `json:"credentials_file,omitempty"` // default ~/.aws/credentials
	Role            *Role  `json:"role,omitempty"`
	// Endpoint is the address of another EC2 API; EBS direct and STS are asked there too unless the environment names others.
	Endpoint    string `json:"endpoint,omitempty"`
	InsecureTLS bool   `json:"insecure_tls,omitempty"`
	// SkipMetadata asks no metadata service for credentials, SkipCheck does not try the credentials first.
	SkipMetadata bool    `json:"skip_metadata,omitempty"`
	SkipCheck    bool    `json:"skip_check,omitempty"`
	Tries        int     `json:"tries,omitempty"` // of a call; 0 for DefaultTries
	Polling      Polling `json:"polling"`
	// MaxPause is the longest pause between two tries of a call; 0 for 20 s.
	MaxPause time.Duration `json:"max_pause,omitempty"`

	Keys Keys `json:"-"`
}

// Role is a role to take on after the credentials were found.
type Role struct {
	ARN         string            `json:"arn"`
	Duration    time.Duration     `json:"duration,omitempty"`
	ExternalID  string            `json:"external_id,omitempty"`
	Policy      string            `json:"policy,omitempty"`
	PolicyARNs  []string          `json:"policy_arns,omitempty"`
	SessionName string            `json:"session_name,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
	Transitive  []string          `json:"transitive,omitempty"`
}

// Keys are credentials that a template brings. They print as "[redacted]" and have no JSON: [Keys.Reveal] is the only way.
type Keys struct{ id, secret, token, mfa string }

// NewKeys makes credentials. All may be empty; token belongs to temporary credentials, mfa is the code of a second factor.
func NewKeys(id, secret, token, mfa string) Keys { return Keys{id, secret, token, mfa} }

// None tells that there are no keys.
func (k Keys) None() bool { return k == Keys{} }

// Reveal returns what NewKeys was given.
func (k Keys) Reveal() (id, secret, token, mfa string) { return k.id, k.secret, k.token, k.mfa }

const redacted = "[redacted]"

// String implements fmt.Stringer without telling anything.
func (k Keys) String() string { return redacted }

// GoString implements fmt.GoStringer without telling anything.
func (k Keys) GoString() string { return redacted }

// LogValue implements slog.LogValuer without telling anything.
func (k Keys) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON writes nothing of the keys.
func (k Keys) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }

// Polling is how states are waited for, as aws_polling says it. The zero value is a question after 2 s and then less and less
// often, down to every 15 s, for as long as it takes: what may take long (a copy of an image of a terabyte) cannot be told from
// what is stuck, and whoever waits can cancel.
type Polling struct {
	Delay    time.Duration `json:"delay,omitempty"`    // between two questions
	Attempts int           `json:"attempts,omitempty"` // questions, 0 for any number
	// Grace is how long something that was just made may be unknown to AWS; 0 for DefaultGrace.
	Grace time.Duration `json:"grace,omitempty"`
}

const (
	// DefaultTries is how often a call is made before its error is returned. With pauses of up to 20 s they span some minutes
	// of throttling.
	DefaultTries = 12
	// DefaultGrace is how long AWS may not know what it just made.
	DefaultGrace = 2 * time.Minute

	firstDelay = 2 * time.Second
	lastDelay  = 15 * time.Second
	maxPause   = 20 * time.Second
)

// envDelay is Packer's variable for aws_polling.delay_seconds. Parts of a second are taken too.
const envDelay = "AWS_POLL_DELAY_SECONDS"

// Poll returns the questions that these settings mean.
func (p Polling) Poll() Poll {
	poll := Poll{First: firstDelay, Last: lastDelay, Attempts: p.Attempts, Grace: cmp.Or(p.Grace, DefaultGrace)}
	delay := p.Delay
	if s, err := strconv.ParseFloat(os.Getenv(envDelay), 64); err == nil && delay == 0 {
		delay = time.Duration(s * float64(time.Second))
	}
	if delay > 0 {
		poll.First, poll.Last = delay, delay
	}
	return poll
}

var regionName = regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-\d+$`)

// Check finds what is wrong with the access without asking anybody. An empty region is none of that: the environment may name it.
func (a Access) Check() error {
	if a.Region != "" && !regionName.MatchString(a.Region) {
		return fmt.Errorf("region = %q: a name such as us-east-1 is needed", a.Region)
	}
	if a.Endpoint != "" {
		if u, err := url.Parse(a.Endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return fmt.Errorf("custom_endpoint_ec2 = %q: a URL such as https://ec2.example.org is needed", a.Endpoint)
		}
	}
	if id, secret, _, _ := a.Keys.Reveal(); (id == "") != (secret == "") {
		return fmt.Errorf("access_key and secret_key belong together: one of them is missing")
	}
	if a.Role != nil && a.Role.ARN == "" {
		return fmt.Errorf("assume_role: role_arn is missing")
	}
	return nil
}

// IsZero tells that an access says nothing, so that the environment says all.
func (a Access) IsZero() bool {
	none := a.Profile == "" && a.CredentialsFile == "" && a.Role == nil && a.Endpoint == "" && a.Keys.None()
	return none && a.Region == "" && !a.InsecureTLS && !a.SkipMetadata && !a.SkipCheck && a.Tries == 0 && a.Polling == Polling{} && a.MaxPause == 0
}
