// Package layout is the one place that knows where things lie below the data directory.
//
// A [Dir] is the data directory of one installation, found by [Find] from the switch, the environment and the user. Its
// methods name what it holds; a [Build] names the files of one build and an [Attempt] those of one run of it. Names that
// come from outside are checked before a path is made of them. [Dir.Make] creates the folders:
//
//	DATA/boxkiln.db             builds, boxes and tokens
//	DATA/lock                   held by the daemon that owns the directory
//	DATA/daemon.sock            where its clients find it
//	DATA/key                    seals secrets at rest
//	DATA/minisign.key           signs the boxes of our own builds
//	DATA/inputs/                files that templates name, by digest
//	DATA/media/                 downloaded installation media
//	DATA/blobs/                 files of boxes, by digest
//	DATA/blobs.url              where they are instead, if not here
//	DATA/staging/               uploads that are not complete
//	DATA/fetches/               boxes on their way from elsewhere
//	DATA/uploads/               those that can be resumed, a file each
//	DATA/checkpoints/<id>/      frozen machines and finished artifacts
//	DATA/builds/<id>/           plan.json, files.json, secrets, log
//	DATA/builds/<id>/attempt-N/ serial, screen.png, timeline.json, work/, outputs/, scratch/
//
// QEMU under the system libvirt daemon runs as a user of its own (libvirt-qemu), which must be able to pass through every
// folder above a disk. So the folders on the way to disks are 0711: passed through by everybody, listed by their owner
// only. What nobody else may reach is 0700, and files that hold secrets are 0600 ([SecretMode]).
package layout

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
)

// Modes of folders and files.
const (
	// PassMode is of folders above disks: see the package comment.
	PassMode fs.FileMode = 0o711
	// PrivateMode is of folders that only the daemon reads.
	PrivateMode fs.FileMode = 0o700
	// SecretMode is of files that hold secrets: the key, sealed values, the socket.
	SecretMode fs.FileMode = 0o600
)

// EnvData is the environment variable that names the data directory.
const EnvData = "BOXKILN_DATA"

// maxSocketPath is how long the name of a Unix socket may be: UNIX_PATH_MAX of Linux is 108 with the final zero byte,
// and that of macOS, the shortest one in use, is 104.
const maxSocketPath = 103

// Dir is the data directory of an installation.
type Dir struct{ root string }

// Data is the data directory at dir, which need not exist. A relative dir starts at the current directory.
func Data(dir string) (Dir, error) {
	if dir == "" {
		return Dir{}, errors.New("the data directory has no name: give --data or set " + EnvData)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Dir{}, fmt.Errorf("data directory %q: %w", dir, err)
	}
	return Dir{abs}, nil
}

// Find is the data directory that the user means: the value of --data if there is one, else $BOXKILN_DATA, else
// /var/lib/boxkiln for root (uid 0), else $XDG_DATA_HOME/boxkiln, which is ~/.local/share/boxkiln unless set.
func Find(flag string, getenv func(string) string, uid int) (Dir, error) {
	for _, dir := range []string{flag, getenv(EnvData)} {
		if dir != "" {
			return Data(dir)
		}
	}
	if uid == 0 {
		return Data("/var/lib/boxkiln")
	}
	// The base directory specification tells to ignore a relative name.
	if xdg := getenv("XDG_DATA_HOME"); filepath.IsAbs(xdg) {
		return Data(filepath.Join(xdg, "boxkiln"))
	}
	home := getenv("HOME")
	if home == "" {
		return Dir{}, errors.New("there is no place for data: neither HOME nor XDG_DATA_HOME is set; give --data or set " + EnvData)
	}
	return Data(filepath.Join(home, ".local", "share", "boxkiln"))
}

// Path is the directory itself.
func (d Dir) Path() string { return d.root }

func (d Dir) join(name ...string) string { return filepath.Join(append([]string{d.root}, name...)...) }

// DB is the SQLite database.
func (d Dir) DB() string { return d.join("boxkiln.db") }

// Lock is the file that the daemon locks while it owns the directory.
func (d Dir) Lock() string { return d.join("lock") }

// BlobPlace says where the files of boxes are, if not in Blobs.
func (d Dir) BlobPlace() string { return d.join("blobs.url") }

// Key is the key that seals secrets at rest.
func (d Dir) Key() string { return d.join("key") }

// SigningKey is the secret key that signs boxes, in minisign's own format, mode [SecretMode].
func (d Dir) SigningKey() string { return d.join("minisign.key") }

// Socket is where clients find the daemon. It fails if the system could not bind so long a name.
func (d Dir) Socket() (string, error) {
	path := d.join("daemon.sock")
	if len(path) > maxSocketPath {
		return "", fmt.Errorf("the socket %q has %d characters, and the system takes %d: choose a data directory with a shorter name (--data, %s)",
			path, len(path), maxSocketPath, EnvData)
	}
	return path, nil
}

// Holds tells whether path lies below the directory.
func (d Dir) Holds(path string) bool {
	rel, err := filepath.Rel(d.root, path)
	return err == nil && rel != "." && filepath.IsLocal(rel)
}

// Inputs holds the files that templates name, by digest.
func (d Dir) Inputs() string { return d.join("inputs") }

// Media is the cache of installation media.
func (d Dir) Media() string { return d.join("media") }

// Blobs holds the files of boxes, by digest.
func (d Dir) Blobs() string { return d.join("blobs") }

// Staging holds uploads that are not complete.
func (d Dir) Staging() string { return d.join("staging") }

// Fetches holds what has arrived of boxes that come from elsewhere.
func (d Dir) Fetches() string { return d.join("fetches") }

// Uploads holds uploads that can be resumed, also after the daemon was started again. It is on the file system of Blobs, which
// take them over.
func (d Dir) Uploads() string { return d.join("uploads") }

// Checkpoints holds the frozen machines and finished artifacts, each in a folder called by its id; daemon/checkpoint makes them.
func (d Dir) Checkpoints() string { return d.join("checkpoints") }

// Builds holds a folder for each build.
func (d Dir) Builds() string { return d.join("builds") }

// Make creates the directory and its folders. Folders that exist keep their mode: whoever changed it had a reason.
func (d Dir) Make() error {
	if err := makeDir(d.root, PassMode); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	folders := []struct {
		path string
		mode fs.FileMode
	}{
		{d.Inputs(), PrivateMode},
		{d.Media(), PassMode}, // QEMU reads the media in place
		{d.Blobs(), PassMode}, // a box can be the backing file of a build's disk
		{d.Staging(), PrivateMode},
		{d.Fetches(), PrivateMode},
		{d.Uploads(), PrivateMode},
		{d.Checkpoints(), PassMode},
		{d.Builds(), PassMode},
	}
	for _, f := range folders {
		if err := makeDir(f.path, f.mode); err != nil {
			return fmt.Errorf("data directory: %w", err)
		}
	}
	return nil
}

// makeDir creates dir with exactly that mode, whatever the umask, unless it exists; parents that are missing get PassMode.
func makeDir(dir string, mode fs.FileMode) error {
	err := os.Mkdir(dir, mode)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeDir(filepath.Dir(dir), PassMode); err == nil {
			err = os.Mkdir(dir, mode)
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return checkDir(dir)
	}
	if err != nil {
		return err
	}
	return os.Chmod(dir, mode)
}

func checkDir(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory: move it away or choose another one with --data", dir)
	}
	return nil
}

// name is what the identifiers in paths look like: nothing that a path could be led astray by.
var name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$`)

func checkName(kind, s string) error {
	if !name.MatchString(s) {
		return fmt.Errorf("%q is not the %s of anything: it consists of letters, digits, - and _", s, kind)
	}
	return nil
}

// Checkpoint is the folder of one checkpoint. Whoever makes it chooses its mode.
func (d Dir) Checkpoint(id string) (string, error) {
	if err := checkName("id", id); err != nil {
		return "", err
	}
	return d.join("checkpoints", id), nil
}

// Build names the files of a build.
func (d Dir) Build(id string) (Build, error) {
	if err := checkName("id", id); err != nil {
		return Build{}, err
	}
	return Build{d.join("builds", id)}, nil
}

// Build is the folder of one build.
type Build struct{ dir string }

// Path is the folder itself.
func (b Build) Path() string { return b.dir }

// Plan holds the plan as it was queued.
func (b Build) Plan() string { return filepath.Join(b.dir, "plan.json") }

// Files holds the digests of the files that the plan names.
func (b Build) Files() string { return filepath.Join(b.dir, "files.json") }

// Secrets holds the sealed values of the sensitive arguments, mode [SecretMode].
func (b Build) Secrets() string { return filepath.Join(b.dir, "secrets") }

// Log is the log of the build over all its runs, an event on each line.
func (b Build) Log() string { return filepath.Join(b.dir, "log") }

// Attempt names the files of the n-th run of the build, counted from 1.
func (b Build) Attempt(n int) Attempt {
	return Attempt{filepath.Join(b.dir, "attempt-"+strconv.Itoa(n))}
}

// Make creates the folder.
func (b Build) Make() error { return makeDir(b.dir, PassMode) }

// Attempt is the folder of one run of a build.
type Attempt struct{ dir string }

// Path is the folder itself.
func (a Attempt) Path() string { return a.dir }

// Serial is what the guest wrote to its first serial port.
func (a Attempt) Serial() string { return filepath.Join(a.dir, "serial") }

// Screen is the last picture of the guest's screen.
func (a Attempt) Screen() string { return filepath.Join(a.dir, "screen.png") }

// Timeline tells what happened when.
func (a Attempt) Timeline() string { return filepath.Join(a.dir, "timeline.json") }

// Work is the folder of the machine: its disks, firmware variables and seed images. It goes when the run ends.
func (a Attempt) Work() string { return filepath.Join(a.dir, "work") }

// Outputs is where the run puts what it makes, until that is fetched or published.
func (a Attempt) Outputs() string { return filepath.Join(a.dir, "outputs") }

// Scratch is the folder for intermediate files and the temporary key. It goes when the run ends.
func (a Attempt) Scratch() string { return filepath.Join(a.dir, "scratch") }

// Make creates the folder with those of the machine, of the outputs and for intermediate files.
func (a Attempt) Make() error {
	for _, dir := range []string{a.dir, a.Work(), a.Outputs()} {
		if err := makeDir(dir, PassMode); err != nil {
			return err
		}
	}
	return makeDir(a.Scratch(), PrivateMode)
}
