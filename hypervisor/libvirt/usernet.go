package libvirt

import (
	"strconv"
	"strings"
)

// forwardedPort finds the host's port that leads to a TCP port of the guest in the answer of the monitor command
// "info usernet", whose lines look like
//
//	TCP[HOST_FORWARD]  14       127.0.0.1 37261       10.0.2.15    22     0     0
func forwardedPort(answer string, guest int) (hostAddress string, port int, ok bool) {
	for line := range strings.Lines(answer) {
		f := strings.Fields(line)
		if len(f) < 6 || f[0] != "TCP[HOST_FORWARD]" || f[5] != strconv.Itoa(guest) {
			continue
		}
		port, err := strconv.Atoi(f[3])
		if err != nil || port < 1 || port > 65535 {
			continue
		}
		address := f[2]
		if address == "*" || address == "0.0.0.0" {
			address = "127.0.0.1"
		}
		return address, port, true
	}
	return "", 0, false
}
