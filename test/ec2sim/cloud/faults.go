package cloud

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault makes calls fail.
type Fault struct {
	Action string // * for all
	Region string // any unless set
	Code   string // of the error; for what is no error, see [StaysHidden] and its like
	Count  int    // how many calls; 0 for all
	Skip   int    // how many calls are left alone first
	// With belongs to the code: how long something stays hidden, and the text of an import that fails.
	With string
}

// Faults that are no errors of a call.
const (
	InstanceDies   = "InstanceDies"  // RunInstances: the instance is terminated by itself, Server.InternalError
	SnapshotFails  = "SnapshotFails" // whatever makes a snapshot: it ends in state error
	StaysHidden    = "StaysHidden"   // whatever makes something: it is not found for the next ten times, or for a duration
	ImportFails    = "ImportFails"   // ImportImage, ImportSnapshot: the task ends with a text
	NoCapacity     = "NoCapacity"    // RequestSpotInstances: the request stays open, capacity-not-available
	noErrors       = " " + InstanceDies + " " + SnapshotFails + " " + StaysHidden + " " + ImportFails + " " + NoCapacity + " "
	unauthentic    = "AWS was not able to validate the provided access credentials"
	expiredSession = "The security token included in the request is expired"
)

// NoRole is a code for what ImportImage and ImportSnapshot say when the service role is not there, or not there yet.
const NoRole = "NoRole"

// builder is the user whose keys all calls are signed with, unless they have taken on a role.
const builder = "arn:aws:iam::" + Account + ":user/builder"

// messages are the texts that belong to codes.
var messages = map[string]string{
	"RequestLimitExceeded":         "Request limit exceeded.",
	"Throttling":                   "Rate exceeded",
	"InsufficientInstanceCapacity": "We currently do not have sufficient t3.micro capacity in the Availability Zone you requested (us-east-1a). Our system will be working on provisioning additional capacity.",
	"AuthFailure":                  unauthentic,
	"RequestExpired":               "Request has expired.",
	"ExpiredToken":                 expiredSession,
	"OptInRequired":                "You are not subscribed to this service. Please go to http://aws.amazon.com to subscribe.",
	"VcpuLimitExceeded":            "You have requested more vCPU capacity than your current vCPU limit of 1 allows for the instance bucket that the specified instance type belongs to.",
	"MaxSpotInstanceCountExceeded": "Max spot instance count exceeded",
	"InternalError":                "An internal error has occurred",
	"Unavailable":                  "The server is overloaded and can't handle the request.",
}

// statuses are those of codes that are not answered with 400.
var statuses = map[string]int{
	"RequestLimitExceeded": http.StatusServiceUnavailable, "Unavailable": http.StatusServiceUnavailable, "SlowDown": http.StatusServiceUnavailable,
	"InsufficientInstanceCapacity": http.StatusInternalServerError, "InternalError": http.StatusInternalServerError,
	"AuthFailure": http.StatusUnauthorized, "UnauthorizedOperation": http.StatusForbidden, "AccessDenied": http.StatusForbidden, "NoSuchBucket": http.StatusNotFound,
}

// refusal is the error of a code as a service words it.
func refusal(code, action string, s scope) error {
	switch {
	case code == "UnauthorizedOperation" && s.service != "ec2":
		code = "AccessDenied" // as all but EC2 call it
	case code == NoRole:
		return problem("InvalidParameter", "%s", rolePhrase)
	}
	text := messages[code]
	switch code {
	case "UnauthorizedOperation":
		text = fmt.Sprintf("You are not authorized to perform this operation. User: %s is not authorized to perform: ec2:%s on resource: arn:aws:ec2:%s:%s:* because no identity-based policy allows the ec2:%[2]s action. Encoded authorization failure message: %s",
			builder, action, s.region, Account, encodeRefusal("ec2:"+action))
	case "AccessDenied":
		text = fmt.Sprintf("User: %s is not authorized to perform: %s:%s because no identity-based policy allows the %[2]s:%[3]s action", builder, s.service, action)
	}
	return &Error{Status: cmp.Or(statuses[code], http.StatusBadRequest), Code: code, Message: text}
}

// ParseFault reads [REGION/]ACTION:CODE[=WITH][:COUNT], such as RunInstances:InsufficientInstanceCapacity:1,
// eu-west-1/CopyImage:UnauthorizedOperation, *:RequestLimitExceeded:30 or RunInstances:StaysHidden=10s:1.
func ParseFault(text string) (Fault, error) {
	action, rest, ok := strings.Cut(text, ":")
	f := Fault{Action: action}
	if region, action, found := strings.Cut(action, "/"); found {
		f.Region, f.Action = region, action
	}
	// The text of an import that fails may have colons of its own.
	if i := strings.LastIndexByte(rest, ':'); i >= 0 {
		if n, err := strconv.Atoi(rest[i+1:]); err == nil {
			if n < 1 {
				return Fault{}, fmt.Errorf("fault %q: COUNT is a number from 1", text)
			}
			rest, f.Count = rest[:i], n
		}
	}
	f.Code, f.With, _ = strings.Cut(rest, "=")
	if !ok || f.Action == "" || f.Code == "" || strings.Contains(f.Code, ":") {
		return Fault{}, fmt.Errorf("fault %q: write it as [REGION/]ACTION:CODE[=WITH][:COUNT]", text)
	}
	return f, nil
}

// Inject adds a fault.
func (c *Cloud) Inject(f Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, &f)
}

// Calm takes all faults away.
func (c *Cloud) Calm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = nil
}

// fault is the error that a call shall fail with; c.mu is held.
func (c *Cloud) fault(action string, s scope) error {
	for _, f := range c.faults {
		if !strings.Contains(noErrors, " "+f.Code+" ") && c.strikes(f, action, s.region) {
			return refusal(f.Code, action, s)
		}
	}
	return nil
}

// spoiled tells whether a fault that is no error holds for a call, and with what; c.mu is held.
func (c *Cloud) spoiled(action, code string) bool {
	_, yes := c.spoiledWith(action, code)
	return yes
}

func (c *Cloud) spoiledWith(action, code string) (string, bool) {
	for _, f := range c.faults {
		if f.Code == code && c.strikes(f, action, f.Region) {
			return f.With, true
		}
	}
	return "", false
}

// strikes tells whether a fault holds for a call, and uses it up; c.mu is held.
func (c *Cloud) strikes(f *Fault, action, region string) bool {
	switch {
	case f.Action != "*" && f.Action != action, f.Region != "" && f.Region != region:
		return false
	case f.Skip > 0:
		f.Skip--
		return false
	case f.Count > 0:
		if f.Count--; f.Count == 0 {
			c.faults = slices.DeleteFunc(slices.Clone(c.faults), func(g *Fault) bool { return g == f })
		}
	}
	return true
}

// admit lets a call in or tells why not; c.mu is held.
func (c *Cloud) admit(name string, s scope, r *http.Request) (*region, error) {
	if !slices.Contains(known, s.region) {
		return nil, refusal("AuthFailure", name, s)
	}
	if err := c.authenticate(s, r.Header.Get("X-Amz-Security-Token")); err != nil {
		return nil, err
	}
	if err := c.fault(name, s); err != nil {
		return nil, err
	}
	return c.region(s.region), nil
}

// fresh is a new object, as the fault [StaysHidden] of an action wants it.
func (c *Cloud) fresh(prefix, action string) object {
	o := c.object(prefix)
	with, yes := c.spoiledWith(action, StaysHidden)
	if !yes {
		return o
	}
	if d, err := time.ParseDuration(with); err == nil {
		o.hidden, o.dark = 0, o.born.Add(d)
	} else {
		o.hidden = 10
	}
	return o
}
