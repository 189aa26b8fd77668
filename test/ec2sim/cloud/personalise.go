package cloud

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
)

// personalise writes what belongs to one instance into the ext4 file system of its root disk, by debugfs (e2fsprogs). A disk
// without one gets nothing, as a system without cloud-init does not.
func personalise(ctx context.Context, g Guest) error {
	if g.Key == "" {
		return nil
	}
	fs, err := openLinux(ctx, g.Disk)
	if errors.Is(err, errNoLinux) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the image's disk: %w", err)
	}
	users, err := fs.list("/home")
	if err != nil {
		return err
	}
	for _, user := range users {
		if err := fs.authorise("/home/"+user, g.Key); err != nil {
			return err
		}
	}
	return nil
}

var errNoLinux = errors.New("there is no Linux partition with an ext4 file system on it")

// Fields of ext4's superblock, by their offsets in the file system, and what is in them.
const (
	magicAt, magic         = 1024 + 0x38, 0xef53
	incompatAt, replayFlag = 1024 + 0x60, 0x4
)

// openLinux finds the file system of Linux on a disk. A journal that a guest has left behind is replayed, or it would be over what
// is written.
func openLinux(ctx context.Context, disk string) (fileSystem, error) {
	start, err := linuxPartition(disk)
	if err != nil {
		return fileSystem{}, err
	}
	fs := fileSystem{ctx, fmt.Sprintf("%s?offset=%d", disk, start)}
	unclean, err := needsReplay(disk, start)
	if err != nil || !unclean {
		return fs, err
	}
	return fs, replay(ctx, disk, start)
}

// replay has e2fsck replay the journal of a file system. It does that to whole files only: of one at an offset it looks for the
// beginning again when it is done, without the offset. So does debugfs.
func replay(ctx context.Context, disk string, start int64) error {
	const script = `set -e
trap 'rm -f "$1.fs"' EXIT
dd if="$1" of="$1.fs" bs=1M iflag=skip_bytes skip="$2" conv=sparse status=none
e2fsck -p "$1.fs" || [ $? -eq 1 ]
dd if="$1.fs" of="$1" bs=1M oflag=seek_bytes seek="$2" conv=notrunc status=none`
	if out, err := exec.CommandContext(ctx, "sh", "-c", script, "sh", disk, fmt.Sprint(start)).CombinedOutput(); err != nil {
		return fmt.Errorf("e2fsck: %w: %s", err, out)
	}
	return nil
}

// needsReplay tells whether the ext4 file system at a place on a disk was left by a running guest.
func needsReplay(disk string, start int64) (bool, error) {
	f, err := os.Open(disk)
	if err != nil {
		return false, err
	}
	defer f.Close()
	super := make([]byte, 2048)
	if _, err := f.ReadAt(super, start); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	if binary.LittleEndian.Uint16(super[magicAt:]) != magic {
		return false, errNoLinux
	}
	return binary.LittleEndian.Uint32(super[incompatAt:])&replayFlag != 0, nil
}

// sector is what partition tables count in.
const sector = 512

// linuxPartition is the offset of the last Linux partition in a table of MBR or GPT.
func linuxPartition(disk string) (int64, error) {
	f, err := os.Open(disk)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	mbr := make([]byte, sector)
	if _, err := io.ReadFull(f, mbr); err != nil {
		return 0, err
	}
	if mbr[510] != 0x55 || mbr[511] != 0xaa {
		return 0, errNoLinux
	}
	var found int64
	for entry := mbr[446:510]; len(entry) >= 16; entry = entry[16:] {
		switch entry[4] {
		case 0xee:
			return gptLinux(f)
		case 0x83:
			found = int64(binary.LittleEndian.Uint32(entry[8:])) * sector
		}
	}
	if found == 0 {
		return 0, errNoLinux
	}
	return found, nil
}

// linuxGUIDs begin the types of Linux file systems and roots, as GPT stores them.
var linuxGUIDs = [][]byte{{0xaf, 0x3d, 0xc6, 0x0f}, {0xe3, 0xbc, 0x68, 0x4f}}

func gptLinux(f *os.File) (int64, error) {
	head := make([]byte, sector)
	if _, err := f.ReadAt(head, sector); err != nil {
		return 0, err
	}
	table := int64(binary.LittleEndian.Uint64(head[72:])) * sector
	entries := make([]byte, 128*128)
	if _, err := f.ReadAt(entries, table); err != nil {
		return 0, err
	}
	for ; len(entries) > 0; entries = entries[128:] {
		for _, guid := range linuxGUIDs {
			if bytes.HasPrefix(entries, guid) {
				return int64(binary.LittleEndian.Uint64(entries[32:])) * sector, nil
			}
		}
	}
	return 0, errNoLinux
}

// fileSystem is one in an image, changed by debugfs.
type fileSystem struct {
	ctx   context.Context
	image string
}

// debugfs runs commands, one a line, and returns what they print.
func (fs fileSystem) debugfs(commands string) (string, error) {
	cmd := exec.CommandContext(fs.ctx, "debugfs", "-w", "-f", "-", fs.image)
	cmd.Stdin = strings.NewReader(commands)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("debugfs: %w", err)
	}
	return string(out), nil
}

// has tells whether there is any of the files.
func (fs fileSystem) has(files ...string) (bool, error) {
	out, err := fs.debugfs("stat " + strings.Join(files, "\nstat ") + "\n")
	return strings.Contains(out, "Inode: "), err
}

// list names the folders in folders.
func (fs fileSystem) list(dirs ...string) ([]string, error) {
	out, err := fs.debugfs("ls -p " + strings.Join(dirs, "\nls -p ") + "\n")
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range strings.Lines(out) { // /INODE/MODE/UID/GID/NAME/SIZE/
		if p := strings.Split(line, "/"); len(p) > 6 && strings.HasPrefix(p[2], "04") && !strings.HasPrefix(p[5], ".") && p[5] != "lost+found" {
			names = append(names, p[5])
		}
	}
	return names, nil
}

var owner = regexp.MustCompile(`User:\s+(\d+)\s+Group:\s+(\d+)`)

// authorise adds a key to those that let into a home directory's account.
func (fs fileSystem) authorise(home, key string) error {
	stat, err := fs.debugfs("stat " + home + "\n")
	if err != nil {
		return err
	}
	m := owner.FindStringSubmatch(stat)
	if m == nil {
		return fmt.Errorf("debugfs does not tell who owns %s: %s", home, stat)
	}
	have, err := exec.CommandContext(fs.ctx, "debugfs", "-R", "cat "+home+"/.ssh/authorized_keys", fs.image).Output()
	if err != nil {
		return err
	}
	text := strings.TrimRight(string(have), "\n")
	if text != "" {
		text += "\n"
	}
	f, err := os.CreateTemp("", "ec2sim-key-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text + key + "\n")
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	dir, file := home+"/.ssh", home+"/.ssh/authorized_keys"
	there, err := fs.has(dir)
	if err != nil {
		return err
	}
	commands := []string{
		"rm " + file, "write " + f.Name() + " " + file,
		"sif " + file + " mode 0100600", "sif " + file + " uid " + m[1], "sif " + file + " gid " + m[2], "",
	}
	if !there { // for one that is there, mkdir leaves a folder in no folder behind
		commands = append([]string{"mkdir " + dir, "sif " + dir + " mode 040700", "sif " + dir + " uid " + m[1], "sif " + dir + " gid " + m[2]}, commands...)
	}
	_, err = fs.debugfs(strings.Join(commands, "\n"))
	return err
}
