package fake

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// The guest's shell finds these programs before those of the host. Those that end the machine write their name and
// arguments into a pipe; sudo, which the host may not have, runs the command, since the guest has one user only.
const (
	buttonScript = "#!/bin/sh\necho \"${0##*/} $*\" >\"$BOXKILN_FAKE_BUTTONS\"\n"
	// Services are those of the host, so nothing is done to them.
	systemctlScript = `#!/bin/sh
case $1 in
poweroff | reboot | halt) echo "$1" >"$BOXKILN_FAKE_BUTTONS" ;;
esac
`
	sudoScript = `#!/bin/sh
while [ $# -gt 0 ]; do
	case $1 in
	-u | -g | -p | -h) shift 2 ;;
	--) shift; break ;;
	-*) shift ;;
	*=*) export "$1"; shift ;;
	*) break ;;
	esac
done
exec "$@"
`
	// The clock is that of the host too, and root could set it.
	dateScript = `#!/bin/sh
for word; do
	case $word in
	-s | -s* | --set | --set=*) exit 0 ;;
	esac
done
exec /bin/date "$@"
`
)

func toolsDir(spec hypervisor.Spec) string { return filepath.Join(spec.Dir, guestDir, "bin") }

func buttonsPath(spec hypervisor.Spec) string { return filepath.Join(spec.Dir, guestDir, "buttons") }

// toolsEnv lets the guest's shell find its programs.
func toolsEnv(spec hypervisor.Spec) []string {
	return []string{
		"PATH=" + toolsDir(spec) + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"BOXKILN_FAKE_BUTTONS=" + buttonsPath(spec),
	}
}

// writeTools makes the programs and the pipe.
func writeTools(spec hypervisor.Spec) error {
	dir := toolsDir(spec)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	scripts := map[string]string{"sudo": sudoScript, "systemctl": systemctlScript, "date": dateScript}
	for _, name := range []string{"poweroff", "halt", "shutdown", "reboot", "init"} {
		scripts[name] = buttonScript
	}
	for name, text := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			return err
		}
	}
	if err := syscall.Mkfifo(buttonsPath(spec), 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
		return &os.PathError{Op: "mkfifo", Path: buttonsPath(spec), Err: err}
	}
	return nil
}

// openButtons opens the pipe. It is opened for writing too, so that it does not end when a program closes its end.
func openButtons(spec hypervisor.Spec) (*os.File, error) {
	return os.OpenFile(buttonsPath(spec), os.O_RDWR, 0)
}

// watchButtons ends the guest when one of its programs asks for it, until the pipe is closed.
func (g *guest) watchButtons(pipe *os.File) {
	lines := bufio.NewScanner(pipe)
	for lines.Scan() {
		g.signal(powerOf(strings.TrimSpace(lines.Text())))
	}
}
