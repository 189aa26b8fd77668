package libvirt

import (
	"errors"
	"fmt"
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
