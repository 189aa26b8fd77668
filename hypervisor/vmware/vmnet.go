package vmware

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// EtcVariable is the environment variable that names VMware's folder of configuration files in the place of /etc/vmware.
const EtcVariable = "BOXKILN_VMWARE_ETC"

// vmnet reads what VMware knows of its virtual networks. Places: packer-plugin-vmware builder/vmware/common/driver_*.go.
type vmnet struct {
	// etc is the folder of Linux, which holds for every system once it is set.
	etc string
	now func() time.Time
}

// fusionPreferences is where Fusion keeps what others have in /etc/vmware.
const fusionPreferences = "/Library/Preferences/VMware Fusion"

func newVMNet(etc string) vmnet {
	v := vmnet{etc: etc, now: time.Now}
	if v.etc == "" {
		v.etc = os.Getenv(EtcVariable)
	}
	if v.etc == "" && runtime.GOOS == "linux" {
		v.etc = "/etc/vmware"
	}
	return v
}

// windowsData is where Workstation keeps them on Windows.
func windowsData() string { return filepath.Join(os.Getenv("ProgramData"), "VMware") }

// leaseFiles are where the DHCP server of a network keeps its leases; on macOS 11 and later it is the system's.
func (v vmnet) leaseFiles(device string) []string {
	switch {
	case v.etc != "":
		return []string{filepath.Join(v.etc, device, "dhcpd", "dhcpd.leases")}
	case runtime.GOOS == "darwin":
		return []string{"/var/db/dhcpd_leases", "/var/db/vmware/vmnet-dhcpd-" + device + ".leases"}
	}
	return []string{filepath.Join(windowsData(), "vmnetdhcp.leases")}
}

// dhcpdConf is the configuration of that server.
func (v vmnet) dhcpdConf(device string) string {
	switch {
	case v.etc != "":
		return filepath.Join(v.etc, device, "dhcpd", "dhcpd.conf")
	case runtime.GOOS == "darwin":
		return filepath.Join(fusionPreferences, device, "dhcpd.conf")
	}
	return filepath.Join(windowsData(), "vmnetdhcp.conf")
}

func (v vmnet) file(name string) string {
	switch {
	case v.etc != "":
		return filepath.Join(v.etc, name)
	case runtime.GOOS == "darwin":
		return filepath.Join(fusionPreferences, name)
	}
	return filepath.Join(windowsData(), name)
}

// maxConfig is the longest file of VMware's that is read, in bytes. Leases are appended for years.
const maxConfig = 16 << 20

// read reads a file of VMware's; one that is not there is empty.
func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if info.Size() > maxConfig {
		return nil, fmt.Errorf("%s has %d bytes; up to %d are read", path, info.Size(), maxConfig)
	}
	return os.ReadFile(path)
}

// The networks that every product has, unless netmap.conf says otherwise.
const (
	networkNAT      = "nat"
	networkHostOnly = "hostonly"
	networkBridged  = "bridged"
)

// device is the virtual network behind a network's name: "nat" is vmnet8. One that is named itself is itself.
func (v vmnet) device(network string) (string, error) {
	data, err := read(v.file("netmap.conf"))
	if err != nil {
		return "", err
	}
	if device := netmapDevice(data, network); device != "" {
		return device, nil
	}
	switch strings.ToLower(network) {
	case networkNAT:
		return "vmnet8", nil
	case networkHostOnly:
		return "vmnet1", nil
	case networkBridged:
		return "vmnet0", nil
	}
	return network, nil
}

var netmapLine = regexp.MustCompile(`(?m)^\s*(network\d+)\.(name|device)\s*=\s*"([^"]*)"`)

// netmapDevice looks a name up in netmap.conf: network8.name = "NAT" and network8.device = "vmnet8".
func netmapDevice(conf []byte, name string) string {
	devices, number := map[string]string{}, ""
	for _, m := range netmapLine.FindAllSubmatch(conf, -1) {
		key, value := string(m[1]), string(m[3])
		switch {
		case string(m[2]) == "device":
			devices[key] = value
		case strings.EqualFold(value, name):
			number = key
		}
	}
	return devices[number]
}

// hostAddress is the host's own address on a virtual network, under which guests see it.
func (v vmnet) hostAddress(device string) (string, error) {
	conf, err := read(v.dhcpdConf(device))
	if err != nil {
		return "", err
	}
	if address := fixedAddress(conf, device); address != "" {
		return address, nil
	}
	networking, err := read(v.file("networking"))
	if err != nil {
		return "", err
	}
	if address := firstAddress(networking, device); address != "" {
		return address, nil
	}
	return "", fmt.Errorf("neither %s nor %s tells the host's address on %s: set up the network with vmware-netcfg, or use network = \"bridged\"",
		v.dhcpdConf(device), v.file("networking"), device)
}

// fixedAddress reads "host vmnet8 { ... fixed-address 172.16.41.1; ... }" in dhcpd.conf. The last one counts, as dhcpd has it.
func fixedAddress(conf []byte, device string) string {
	block := regexp.MustCompile(`(?is)\bhost\s+` + regexp.QuoteMeta(device) + `\s*\{([^}]*)\}`)
	address := ""
	for _, m := range block.FindAllSubmatch(conf, -1) {
		if a := fixedAddressLine.FindSubmatch(m[1]); a != nil && net.ParseIP(string(a[1])) != nil {
			address = string(a[1])
		}
	}
	return address
}

var fixedAddressLine = regexp.MustCompile(`(?i)\bfixed-address\s+([0-9a-f.:]+)\s*;`)

// firstAddress reads "answer VNET_8_HOSTONLY_SUBNET 172.16.41.0" in networking, of which VMware gives the host the first address.
func firstAddress(networking []byte, device string) string {
	number, ok := strings.CutPrefix(device, "vmnet")
	if !ok {
		return ""
	}
	key := "VNET_" + number + "_HOSTONLY_SUBNET"
	scanner := bufio.NewScanner(bytes.NewReader(networking))
	for scanner.Scan() {
		words := strings.Fields(scanner.Text())
		if len(words) != 3 || words[0] != "answer" || words[1] != key {
			continue
		}
		if ip := net.ParseIP(words[2]).To4(); ip != nil && ip[3] < 255 {
			ip[3]++
			return ip.String()
		}
	}
	return ""
}

// outbound is the address of this host from which it reaches others: where guests of a bridged network see it.
func outbound(ctx context.Context) (string, error) {
	var d net.Dialer
	// Nothing is sent: a UDP socket that is connected only chooses its own address. 192.0.2.1 is for documentation (RFC 5737).
	conn, err := d.DialContext(ctx, "udp4", "192.0.2.1:9")
	if err != nil {
		return "", fmt.Errorf("this host has no address that a bridged guest could reach: %w", err)
	}
	defer conn.Close()
	host, _, err := net.SplitHostPort(conn.LocalAddr().String())
	return host, err
}

// isOurs tells whether an interface of this host has an address.
func isOurs(address string) (bool, error) {
	want := net.ParseIP(address)
	all, err := net.InterfaceAddrs()
	if err != nil {
		return false, err
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.Equal(want) {
			return true, nil
		}
	}
	return false, nil
}

// lease is what a DHCP server promised.
type lease struct {
	address string
	mac     net.HardwareAddr
	starts  time.Time // zero if it does not say
	ends    time.Time // zero for one that does not end
}

// leased is the address of a card on a network, "" if the DHCP server has not given it one that still holds.
func (v vmnet) leased(device string, mac net.HardwareAddr) (string, error) {
	address := ""
	for _, path := range v.leaseFiles(device) {
		data, err := read(path)
		if err != nil {
			return "", err
		}
		if a := lastLease(parseLeases(data), mac, v.now()); a != "" {
			address = a
		}
	}
	return address, nil
}

// lastLease is the last one of a card that still holds: the server appends, so later ones are newer.
func lastLease(leases []lease, mac net.HardwareAddr, now time.Time) string {
	address := ""
	for _, l := range leases {
		if bytes.Equal(l.mac, mac) && (l.ends.IsZero() || l.ends.After(now)) && !l.starts.After(now.Add(clockSlack)) {
			address = l.address
		}
	}
	return address
}

// clockSlack is by how much a lease may start in the future: the server's clock is our own, but it writes whole seconds.
const clockSlack = 2 * time.Second

// leaseBlock is a lease of ISC's server, "lease 172.16.41.129 { ... }", or of that of macOS, "{ ... }".
var leaseBlock = regexp.MustCompile(`(?:lease\s+([0-9.]+)\s*)?\{([^{}]*)\}`)

// parseLeases reads both kinds of files. What cannot be read is left out.
func parseLeases(data []byte) []lease {
	var leases []lease
	for _, m := range leaseBlock.FindAllSubmatch(data, -1) {
		l, ok := macLease(string(m[2]))
		if len(m[1]) > 0 {
			l, ok = iscLease(string(m[1]), string(m[2]))
		}
		if ok {
			leases = append(leases, l)
		}
	}
	return leases
}

// iscLease reads the statements of dhcpd.leases. Its times are in UTC, after the number of the weekday.
func iscLease(address, body string) (lease, bool) {
	l := lease{address: address}
	for statement := range strings.SplitSeq(body, ";") {
		words := strings.Fields(statement)
		switch {
		case len(words) == 3 && words[0] == "hardware" && words[1] == "ethernet":
			l.mac = parseMAC(words[2])
		case len(words) == 4 && words[0] == "starts":
			l.starts = iscTime(words[2], words[3])
		case len(words) == 4 && words[0] == "ends":
			l.ends = iscTime(words[2], words[3])
		case len(words) == 1 && words[0] == "abandoned":
			return l, false
		}
	}
	return l, l.mac != nil && net.ParseIP(address) != nil
}

func iscTime(day, clock string) time.Time {
	t, err := time.Parse("2006/01/02 15:04:05", day+" "+clock)
	if err != nil {
		return time.Time{}
	}
	return t
}

// macLease reads the lines of macOS's dhcpd_leases: hw_address=1,0:c:29:59:91:2 without leading zeros, and the time of its end in
// hexadecimal seconds.
func macLease(body string) (lease, bool) {
	var l lease
	for line := range strings.SplitSeq(body, "\n") {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "ip_address":
			l.address = value
		case "hw_address":
			_, mac, _ := strings.Cut(value, ",")
			l.mac = parseMAC(mac)
		case "lease":
			if seconds, err := strconv.ParseInt(value, 0, 64); err == nil && seconds > 0 {
				l.ends = time.Unix(seconds, 0)
			}
		}
	}
	return l, l.mac != nil && net.ParseIP(l.address) != nil
}

// parseMAC reads an address whose bytes may have one digit; nil for anything else.
func parseMAC(s string) net.HardwareAddr {
	parts := strings.Split(s, ":")
	if len(parts) != 6 {
		return nil
	}
	mac := make(net.HardwareAddr, len(parts))
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 16, 8)
		if err != nil {
			return nil
		}
		mac[i] = byte(n)
	}
	return mac
}
