package cloud

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Fault makes calls fail.
type Fault struct {
	Action string // * for all
	Code   string // of the error; for what is no error, see [ParseFault]
	Count  int    // how many calls; 0 for all
}

// Faults that are no errors of a call.
const (
	InstanceDies  = "InstanceDies"  // RunInstances: the instance is terminated by itself, Server.InternalError
	SnapshotFails = "SnapshotFails" // CreateImage, CompleteSnapshot, CopyImage: the snapshot ends in state error
	StaysHidden   = "StaysHidden"   // a call that makes something: it is not found for the next ten times
)

// messages are the texts that belong to codes.
var messages = map[string]string{
	"RequestLimitExceeded":         "Request limit exceeded.",
	"Throttling":                   "Rate exceeded",
	"InsufficientInstanceCapacity": "We currently do not have sufficient t3.micro capacity in the Availability Zone you requested (us-east-1a). Our system will be working on provisioning additional capacity.",
	"UnauthorizedOperation":        "You are not authorized to perform this operation. User: arn:aws:iam::" + Account + ":user/builder is not authorized to perform: %s on resource: * because no identity-based policy allows the %[1]s action",
	"RequestExpired":               "Request has expired.",
	"ExpiredToken":                 "The security token included in the request is expired",
	"VcpuLimitExceeded":            "You have requested more vCPU capacity than your current vCPU limit of 1 allows for the instance bucket that the specified instance type belongs to.",
	"InternalError":                "An internal error has occurred",
	"Unavailable":                  "The server is overloaded and can't handle the request.",
}

// ParseFault reads ACTION:CODE or ACTION:CODE:COUNT, such as RunInstances:InsufficientInstanceCapacity:1 or
// *:RequestLimitExceeded:30.
func ParseFault(text string) (Fault, error) {
	parts := strings.Split(text, ":")
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" || parts[1] == "" {
		return Fault{}, fmt.Errorf("fault %q: write it as ACTION:CODE or ACTION:CODE:COUNT", text)
	}
	f := Fault{Action: parts[0], Code: parts[1]}
	if len(parts) == 3 {
		n, err := strconv.Atoi(parts[2])
		if err != nil || n < 1 {
			return Fault{}, errors.Join(fmt.Errorf("fault %q: COUNT is a number from 1", text), err)
		}
		f.Count = n
	}
	return f, nil
}

// Inject adds a fault.
func (c *Cloud) Inject(f Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, &f)
}

// fault is the error that a call shall fail with; c.mu is held.
func (c *Cloud) fault(action string, s scope) error {
	for i, f := range c.faults {
		if f.Action != "*" && f.Action != action || f.Code == InstanceDies || f.Code == SnapshotFails || f.Code == StaysHidden {
			continue
		}
		c.spend(i)
		status := http.StatusBadRequest
		switch f.Code {
		case "RequestLimitExceeded", "Unavailable", "InsufficientInstanceCapacity":
			status = http.StatusServiceUnavailable
		case "InternalError":
			status = http.StatusInternalServerError
		case "UnauthorizedOperation":
			status = http.StatusForbidden
		}
		text := messages[f.Code]
		if strings.Contains(text, "%s") {
			text = fmt.Sprintf(text, s.service+":"+action)
		}
		return &Error{Status: status, Code: f.Code, Message: text}
	}
	return nil
}

// spoiled tells whether a fault that is no error holds for a call; c.mu is held.
func (c *Cloud) spoiled(action, code string) bool {
	for i, f := range c.faults {
		if (f.Action == "*" || f.Action == action) && f.Code == code {
			c.spend(i)
			return true
		}
	}
	return false
}

// spend uses a fault up.
func (c *Cloud) spend(i int) {
	if c.faults[i].Count == 0 {
		return
	}
	if c.faults[i].Count--; c.faults[i].Count == 0 {
		c.faults = append(c.faults[:i:i], c.faults[i+1:]...)
	}
}
