package account

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
)

// Error is what became of a call. Its text is Action, what AWS says, and what to do about it; errors of the SDK are below it.
type Error struct {
	Action string // such as ec2:RunInstances
	Code   string // such as UnauthorizedOperation; empty if AWS did not answer
	Text   string // what AWS says, or what went wrong on the way
	// Missing is the permission that is missing, which need not be the action: RunInstances with tags needs ec2:CreateTags.
	Missing string
	Remedy  string
	err     error
}

// Error implements error.
func (e *Error) Error() string {
	text := e.Action + ": "
	if e.Code != "" {
		text += e.Code + ": "
	}
	text += strings.TrimRight(e.Text, ". ")
	if e.Missing != "" {
		text += fmt.Sprintf(": the permission %s is missing", e.Missing)
	}
	if e.Remedy != "" {
		text += "; " + e.Remedy
	}
	return text
}

// Unwrap returns the error of the SDK.
func (e *Error) Unwrap() error { return e.err }

// Code is AWS's code of an error; empty if it is none of AWS.
func Code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// IsNotFound tells that AWS does not know the thing: it is gone, or too new. Codes are InvalidInstanceID.NotFound,
// InvalidAMIID.NotFound, InvalidGroup.NotFound ..., and for an image that was deregistered InvalidAMIID.Unavailable.
func IsNotFound(err error) bool {
	code := Code(err)
	return strings.HasSuffix(code, ".NotFound") || code == "InvalidAMIID.Unavailable" || code == "ResourceNotFoundException"
}

// IsThrottled tells that AWS has too much to do.
func IsThrottled(err error) bool {
	_, throttled := retry.DefaultThrottleErrorCodes[Code(err)]
	return throttled || Code(err) == "RequestThrottledException"
}

// IsCapacity tells that AWS has no room for an instance of that type in that zone now.
func IsCapacity(err error) bool {
	return slices.Contains(exhausted, Code(err)) || Code(err) == "SpotMaxPriceTooLow" || Code(err) == "MaxSpotInstanceCountExceeded"
}

// IsInUse tells that something else still needs the thing.
func IsInUse(err error) bool {
	switch Code(err) {
	case "DependencyViolation", "InvalidSnapshot.InUse", "VolumeInUse", "IncorrectState", "InvalidGroup.InUse", "ResourceInUse":
		return true
	}
	return false
}

// denied finds the permission in AWS's message. It is not always told.
var denied = regexp.MustCompile(`not authorized to perform: ([a-z0-9-]+:[A-Za-z]+)`)

// remedies are what to do about an error, by its code.
var remedies = map[string]string{
	"AuthFailure":                  "check the credentials, and whether the account has this region enabled",
	"InvalidClientTokenId":         "check access_key or the profile: AWS does not know the key",
	"UnrecognizedClientException":  "check access_key or the profile: AWS does not know the key",
	"SignatureDoesNotMatch":        "check secret_key",
	"ExpiredToken":                 "get new temporary credentials and run the build again",
	"ExpiredTokenException":        "get new temporary credentials and run the build again",
	"RequestExpired":               "get new temporary credentials, and check this host's clock",
	"OptInRequired":                "subscribe to the image's product or enable the region in the AWS console",
	"RequestLimitExceeded":         "AWS was busy for too long: run the build again later, or raise max_retries",
	"Throttling":                   "AWS was busy for too long: run the build again later, or raise max_retries",
	"VcpuLimitExceeded":            "ask AWS for a higher quota, or take a smaller instance_type",
	"InstanceLimitExceeded":        "ask AWS for a higher quota",
	"InsufficientInstanceCapacity": "take another instance_type or availability_zone, or name several in spot_instance_types",
	"InvalidAMIName.Duplicate":     "choose another ami_name, or set force_deregister",
}

// Explain makes an error of a call one that people understand: it names the action, the missing permission and a remedy. nil stays nil,
// and so does what is explained already and what is no error of AWS but the end of a context.
func Explain(err error, action string) error {
	var known *Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	e := &Error{Action: action, Text: err.Error(), err: err}
	var api smithy.APIError
	var dns *net.DNSError
	switch {
	case errors.As(err, &api):
		e.Code, e.Text, e.Remedy = api.ErrorCode(), api.ErrorMessage(), remedies[api.ErrorCode()]
		switch e.Code {
		case "UnauthorizedOperation", "AccessDenied", "AccessDeniedException":
			e.Missing = action
			if m := denied.FindStringSubmatch(e.Text); m != nil {
				e.Missing = m[1]
			}
			e.Text, _, _ = strings.Cut(e.Text, " Encoded authorization failure message:")
			e.Remedy = "have it allowed by a policy of who asks"
		}
	case errors.As(err, &dns) && dns.IsNotFound:
		e.Text, e.Remedy = "there is no host "+dns.Name, "check the name of the region"
	case strings.Contains(e.Text, "failed to refresh cached credentials"), strings.Contains(e.Text, "get credentials"):
		e.Text, e.Remedy = "no credentials can be had: "+last(err), "set AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or profile in the template, for whoever runs the build"
	default:
		e.Text = last(err)
	}
	return e
}

// last is the text of the innermost error: the SDK's layers say little.
func last(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}
