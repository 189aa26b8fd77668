package libvirt

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"text/template"
)

// templateData is what {{ }} in qemuargs can name, as in Packer's qemu builder.
type templateData struct {
	HTTPIP      string
	HTTPPort    int
	SSHHostPort int
	OutputDir   string // the directory of the disks
	Name        string // the file name of the first disk
}

func renderArgs(args [][]string, data templateData) ([][]string, error) {
	var errs []error
	out := make([][]string, len(args))
	for i, arg := range args {
		out[i] = make([]string, len(arg))
		for j, text := range arg {
			var err error
			if out[i][j], err = render(text, data); err != nil {
				errs = append(errs, fmt.Errorf("qemuargs[%d] = %q: %w; known are .HTTPIP, .HTTPPort, .SSHHostPort, .OutputDir and .Name",
					i, text, err))
			}
		}
	}
	return out, errors.Join(errs...)
}

func render(text string, data templateData) (string, error) {
	if !strings.Contains(text, "{{") {
		return text, nil
	}
	t, err := template.New("qemuargs").Parse(text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if err := t.Execute(&b, data); err != nil {
		return "", err
	}
	return b.String(), nil
}

func usesSSHHostPort(args [][]string) bool {
	for _, arg := range args {
		for _, text := range arg {
			if strings.Contains(text, ".SSHHostPort") {
				return true
			}
		}
	}
	return false
}

// freePort finds a TCP port that nobody listens on, trying the range in random order from a random start so that two
// builds at once seldom meet. Only what QEMU cannot choose itself comes from here.
func freePort(ctx context.Context, address string, lowest, highest int) (int, error) {
	count := highest - lowest + 1
	if count < 1 {
		return 0, fmt.Errorf("the range %d to %d is empty", lowest, highest)
	}
	start := rand.IntN(count)
	var lc net.ListenConfig
	for i := range count {
		port := lowest + (start+i)%count
		l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(port)))
		if err != nil {
			continue
		}
		return port, l.Close()
	}
	return 0, fmt.Errorf("no port from %d to %d is free at %s", lowest, highest, address)
}
