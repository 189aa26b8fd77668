package hypervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Checks collects what is wrong with the arguments of one template, so that a [Planner] tells all of it at once.
type Checks struct{ problems []error }

// Problem adds an error; nil is none.
func (c *Checks) Problem(err error) {
	if err != nil {
		c.problems = append(c.problems, err)
	}
}

// Err is everything that was added, or nil.
func (c *Checks) Err() error { return errors.Join(c.problems...) }

// OneOf checks value against the allowed set; an empty value is fallback.
func (c *Checks) OneOf(name, value, fallback string, allowed ...string) string {
	if value == "" {
		return fallback
	}
	if !slices.Contains(allowed, value) {
		c.Problem(fmt.Errorf("%s = %q: use one of %s", name, value, strings.Join(allowed, ", ")))
	}
	return value
}

// Positive checks a count for which 0 means "not given".
func (c *Checks) Positive(arg string, n int) {
	if n < 0 {
		c.Problem(fmt.Errorf("%s = %d: a number above 0 is needed", arg, n))
	}
}

// Ports checks the range of ports of arg_min and arg_max, and fills in the defaults of what is 0.
func (c *Checks) Ports(arg string, lowest, highest, defaultMin, defaultMax int) (int, int) {
	if lowest == 0 {
		lowest = defaultMin
	}
	if highest == 0 {
		highest = max(defaultMax, lowest)
	}
	if lowest < 1 || highest > 65535 || lowest > highest {
		c.Problem(fmt.Errorf("%s_min = %d, %s_max = %d: a range within 1 to 65535 is needed", arg, lowest, arg, highest))
	}
	return lowest, highest
}

// CommunicatorPort reads which TCP port of the guest the communicator talks to out of a source's arguments, which are
// those of package provisioners; 0 if nobody logs in.
func CommunicatorPort(args json.RawMessage) (int, error) {
	var a struct {
		Communicator string `json:"communicator"`
		SSHPort      int    `json:"ssh_port"`
		WinRMPort    int    `json:"winrm_port"`
		WinRMUseSSL  bool   `json:"winrm_use_ssl"`
	}
	if err := json.Unmarshal(args, &a); err != nil {
		return 0, fmt.Errorf("the arguments of the communicator cannot be read: %w", err)
	}
	switch {
	case a.Communicator == "none":
		return 0, nil
	case a.Communicator == "winrm" && a.WinRMPort != 0:
		return a.WinRMPort, nil
	case a.Communicator == "winrm" && a.WinRMUseSSL:
		return 5986, nil
	case a.Communicator == "winrm":
		return 5985, nil
	case a.SSHPort != 0:
		return a.SSHPort, nil
	}
	return 22, nil
}
