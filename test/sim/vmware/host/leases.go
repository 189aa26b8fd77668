package host

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// leaseTime is how long a lease is good for, as in dhcpd.conf.
const leaseTime = 30 * time.Minute

// Address finds an address for a machine: always the same one for the same MAC, unless somebody uses it. Ports of the
// guest are reached at it, so the first of ports must be free there.
func (h Home) Address(ctx context.Context, mac string, ports []int) (string, error) {
	const first, count = 128, 127 // the range of dhcpd.conf
	sum := fnv.New32a()
	sum.Write([]byte(strings.ToLower(mac)))
	start := int(sum.Sum32() % count)
	var last error
	for i := range count {
		address := fmt.Sprintf("%s.%d", h.subnet(), first+(start+i)%count)
		if last = bindable(ctx, address, ports); last == nil {
			return address, nil
		} else if errors.Is(last, syscall.EACCES) {
			return "", fmt.Errorf("%w: run the simulator as root, or set %s to ports above 1023", last, EnvPorts)
		}
	}
	return "", last
}

func bindable(ctx context.Context, address string, ports []int) error {
	for _, port := range ports {
		var config net.ListenConfig
		l, err := config.Listen(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(port)))
		if err != nil {
			return err
		}
		l.Close()
	}
	return nil
}

// EnvPorts are the ports of a guest that can be reached at its address, 22, 5985 and 5986 unless set. On a real vmnet
// all can; here each is a forward of QEMU's.
const EnvPorts = "BOXKILN_SIM_VMWARE_PORTS"

// Ports reads EnvPorts.
func Ports() ([]int, error) {
	value := os.Getenv(EnvPorts)
	if value == "" {
		return []int{22, 5985, 5986}, nil
	}
	var ports []int
	for field := range strings.SplitSeq(value, ",") {
		port, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || port < 1 || port > 65535 {
			return nil, fmt.Errorf("%s: %q is no port", EnvPorts, field)
		}
		ports = append(ports, port)
	}
	return ports, nil
}

// Lease is an entry of the DHCP server's file.
type Lease struct {
	Address, MAC string
	Starts       time.Time
}

func (l Lease) String() string {
	stamp := func(t time.Time) string {
		t = t.UTC()
		return fmt.Sprintf("%d %s", t.Weekday(), t.Format("2006/01/02 15:04:05"))
	}
	return fmt.Sprintf("lease %s {\n\tstarts %s;\n\tends %s;\n\thardware ethernet %s;\n\tuid 01:%[4]s;\n\tclient-hostname \"debian\";\n}\n",
		l.Address, stamp(l.Starts), stamp(l.Starts.Add(leaseTime)), strings.ToLower(l.MAC))
}

// Leased appends what the DHCP server writes when a machine has asked for its address. The real one does when the
// guest asks; here it is when the machine starts, as nobody listens to what QEMU's own server answers.
func (h Home) Leased(mac, address string, now time.Time, faults Faults) error {
	if faults.Has(LeaseMissing) {
		return nil
	}
	entries := []Lease{{address, mac, now.Add(-time.Second)}}
	if faults.Has(LeaseDuplicate) {
		before := Lease{h.subnet() + ".126", mac, now.Add(-2 * time.Second)}
		expired := Lease{h.subnet() + ".127", mac, now.Add(-2 * leaseTime)}
		entries = slices.Concat([]Lease{before}, entries, []Lease{expired})
	}
	f, err := os.OpenFile(h.leases(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, err = f.WriteString(e.String()); err != nil {
			break
		}
	}
	return errors.Join(err, f.Close())
}

// Gateway is the address that some guests report in place of their own.
func (h Home) Gateway() string { return h.subnet() + ".1" }

// key names the record of a machine.
func key(path string) string {
	sum := fnv.New64a()
	sum.Write([]byte(filepath.Clean(path)))
	return fmt.Sprintf("%016x", sum.Sum64())
}
