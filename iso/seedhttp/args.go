package seedhttp

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// Args are the template's arguments for the files that a guest fetches over HTTP.
type Args struct {
	Directory       string            `json:"http_directory" doc:"Directory whose files the guest may fetch over HTTP. Not together with http_content." arg:"local" guest:"yes"`
	Content         map[string]string `json:"http_content" doc:"Files that the guest may fetch over HTTP, by path; they may hold {{ .SSHPublicKey }}. Not together with http_directory." arg:"late" guest:"yes"`
	PortMin         int               `json:"http_port_min" doc:"Lowest port of the HTTP server. Without http_port_min and http_port_max the system chooses a free port." guest:"no"`
	PortMax         int               `json:"http_port_max" doc:"Highest port of the HTTP server; the same as http_port_min for a fixed port." guest:"no"`
	BindAddress     string            `json:"http_bind_address" doc:"IP address that the HTTP server listens on. Default: the one that only the guest reaches." guest:"no"`
	Interface       string            `json:"http_interface" doc:"Network interface on whose address the HTTP server listens. Not together with http_bind_address." guest:"no"`
	NetworkProtocol string            `json:"http_network_protocol" doc:"tcp, tcp4 or tcp6. Default: tcp." guest:"no"`
}

// Packer's limits where a template sets only one of the two.
const (
	defaultPortMin = 8000
	defaultPortMax = 9000
)

// Empty reports whether no server is wanted.
func (a Args) Empty() bool { return a.Directory == "" && len(a.Content) == 0 }

// Ports are the limits of the server's port, both 0 if any free port will do.
func (a Args) Ports() (low, high int) {
	low, high = a.PortMin, a.PortMax
	if low == 0 && high == 0 {
		return 0, 0
	}
	if low == 0 {
		low = min(defaultPortMin, high)
	}
	if high == 0 {
		high = max(defaultPortMax, low)
	}
	return low, high
}

// Validate reports every argument that is wrong or contradicts another, without touching the network or the disk.
func (a Args) Validate() []error {
	var errs []error
	if a.Directory != "" && len(a.Content) > 0 {
		errs = append(errs, errors.New("http_directory and http_content are both set: keep one of them"))
	}
	if a.BindAddress != "" && a.Interface != "" {
		errs = append(errs, errors.New("http_bind_address and http_interface are both set: keep one of them"))
	}
	errs = append(errs, checkPort("http_port_min", a.PortMin)...)
	errs = append(errs, checkPort("http_port_max", a.PortMax)...)
	if low, high := a.Ports(); low > high {
		errs = append(errs, fmt.Errorf("http_port_min %d is greater than http_port_max %d", low, high))
	}
	if _, err := a.bindAddress(); err != nil {
		errs = append(errs, err)
	}
	if _, err := cleanContent(a.Content); err != nil {
		errs = append(errs, err)
	}
	return append(errs, a.checkProtocol()...)
}

func checkPort(arg string, port int) []error {
	if port < 0 || port > 65535 {
		return []error{fmt.Errorf("%s %d is no port: use 1 to 65535", arg, port)}
	}
	return nil
}

func (a Args) checkProtocol() []error {
	addr, _ := a.bindAddress()
	switch p := a.NetworkProtocol; {
	case p == "unix" || p == "unixpacket":
		return []error{fmt.Errorf("http_network_protocol %q: a guest cannot reach a socket of this host: use tcp, tcp4 or tcp6", p)}
	case !slices.Contains([]string{"", "tcp", "tcp4", "tcp6"}, p):
		return []error{fmt.Errorf("http_network_protocol %q is unknown: use tcp, tcp4 or tcp6", p)}
	case addr.IsValid() && (p == "tcp4" && !addr.Unmap().Is4() || p == "tcp6" && addr.Unmap().Is4()):
		return []error{fmt.Errorf("http_bind_address %q does not belong to http_network_protocol %q", a.BindAddress, p)}
	}
	return nil
}

// bindAddress is the address that the template asks for, the zero value if it asks for none.
func (a Args) bindAddress() (netip.Addr, error) {
	switch a.BindAddress {
	case "":
		return netip.Addr{}, nil
	case "localhost":
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), nil
	}
	addr, err := netip.ParseAddr(a.BindAddress)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("http_bind_address %q is no IP address", a.BindAddress)
	}
	return addr, nil
}

// cleanContent gives the files of http_content the paths under which they are requested. A key may leave out the
// leading slash.
func cleanContent(content map[string]string) (map[string]string, error) {
	out := make(map[string]string, len(content))
	for _, key := range slices.Sorted(maps.Keys(content)) {
		if strings.HasSuffix(key, "/") || path.Clean("/"+key) == "/" {
			return nil, fmt.Errorf("http_content: key %q is no path of a file: write it like \"/preseed.cfg\"", key)
		}
		name := path.Clean("/" + key)
		if _, ok := out[name]; ok {
			return nil, fmt.Errorf("http_content: two keys stand for %q: remove one", name)
		}
		out[name] = content[key]
	}
	return out, nil
}
