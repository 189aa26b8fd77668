package virtualbox

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// version is what `VBoxManage --version` says, such as 7.0.12r159484 or 6.1.50_Ubuntur161033.
type version struct {
	major, minor int
	number       string // three numbers with dots
	text         string // as printed
	warnings     []string
}

var versionText = regexp.MustCompile(`^((\d+)\.(\d+)\.\d+)[A-Za-z_]*.*$`)

// parseVersion reads the answer. On a host without VirtualBox's kernel module, warnings come before the version.
func parseVersion(out string) (version, error) {
	var v version
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if m := versionText.FindStringSubmatch(line); m != nil {
			v.number, v.text = m[1], line
			v.major, _ = strconv.Atoi(m[2]) // digits
			v.minor, _ = strconv.Atoi(m[3])
			return v, nil
		}
		if line != "" {
			v.warnings = append(v.warnings, line)
		}
	}
	return v, fmt.Errorf("VBoxManage --version answered %q, in which there is no version", strings.TrimSpace(out))
}

// atLeast tells whether the version is that one or a later one.
func (v version) atLeast(major, minor int) bool {
	return v.major > major || v.major == major && v.minor >= minor
}

func (m *manager) version(ctx context.Context) (version, error) {
	out, err := m.run(ctx, "--version")
	if err != nil {
		return version{}, err
	}
	return parseVersion(out)
}
