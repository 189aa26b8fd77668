package vmware

import (
	"errors"
	"fmt"
	"strings"
)

// The forms of ports are those of packer-plugin-vmware builder/vmware/common/hw_config.go: the kind, a colon, and what belongs to
// it, separated by commas.

// serial reads FILE:path[,yield], DEVICE:name[,yield], PIPE:path,client|server,app|vm[,yield], AUTO:[yield] and NONE.
func (p *planner) serial() portSettings {
	kind, fields, err := portFields(p.args.Serial)
	port := portSettings{}
	switch kind {
	case "", "NONE":
	case "FILE", "DEVICE":
		port = portSettings{Kind: strings.ToLower(kind), Path: at(fields, 0), Yield: yields(at(fields, 1), &err)}
		if port.Path == "" || len(fields) > 2 {
			err = errors.Join(err, errors.New("a path is needed"))
		}
	case "PIPE":
		port = portSettings{Kind: "pipe", Path: at(fields, 0), EndPoint: at(fields, 1), TryNoRxLoss: at(fields, 2) == "app", Yield: yields(at(fields, 3), &err)}
		ends := port.EndPoint == "client" || port.EndPoint == "server"
		if peer := at(fields, 2); port.Path == "" || !ends || peer != "app" && peer != "vm" || len(fields) > 4 {
			err = errors.Join(err, errors.New("write PIPE:path,client or server,app or vm"))
		}
	case "AUTO":
		port = portSettings{Kind: "auto", Yield: yields(at(fields, 0), &err)}
	default:
		err = errors.Join(err, errors.New("use FILE:path, DEVICE:path, PIPE:path,client|server,app|vm, AUTO or NONE"))
	}
	if err != nil {
		p.Problem(fmt.Errorf("serial = %q: %w", p.args.Serial, err))
	}
	return port
}

// parallel reads FILE:path, DEVICE:path[,uni|bi], AUTO:[uni|bi] and NONE.
func (p *planner) parallel() portSettings {
	kind, fields, err := portFields(p.args.Parallel)
	port := portSettings{}
	direction := ""
	switch kind {
	case "", "NONE":
	case "FILE":
		port = portSettings{Kind: "file", Path: at(fields, 0)}
	case "DEVICE":
		port, direction = portSettings{Kind: "device", Path: at(fields, 0)}, at(fields, 1)
	case "AUTO":
		port, direction = portSettings{Kind: "auto"}, at(fields, 0)
	default:
		err = errors.Join(err, errors.New("use FILE:path, DEVICE:path, AUTO or NONE"))
	}
	if (port.Kind == "file" || port.Kind == "device") && port.Path == "" {
		err = errors.Join(err, errors.New("a path is needed"))
	}
	switch strings.ToLower(direction) {
	case "", "uni":
	case "bi":
		port.Bidirectional = true
	default:
		err = errors.Join(err, fmt.Errorf("the direction %q is none of uni and bi", direction))
	}
	if err != nil {
		p.Problem(fmt.Errorf("parallel = %q: %w", p.args.Parallel, err))
	}
	return port
}

// portFields cuts a port into its kind and its fields.
func portFields(text string) (kind string, fields []string, err error) {
	kind, rest, _ := strings.Cut(text, ":")
	if rest != "" {
		fields = strings.Split(rest, ",")
		for i := range fields {
			fields[i] = strings.TrimSpace(fields[i])
		}
	}
	if strings.ContainsAny(text, "\n\"") {
		err = errors.New("quotes and line ends are not possible")
	}
	return strings.ToUpper(strings.TrimSpace(kind)), fields, err
}

// at is a field; empty if there are fewer.
func at(fields []string, i int) string {
	if i >= len(fields) {
		return ""
	}
	return fields[i]
}

// yields reads whether the guest gives up its processor while it polls the port.
func yields(field string, err *error) bool {
	switch strings.ToUpper(field) {
	case "", "FALSE":
		return false
	case "TRUE":
		return true
	}
	*err = errors.Join(*err, fmt.Errorf("%q is none of TRUE and FALSE", field))
	return false
}
