// Package vdiskmanager is the simulator's vmware-vdiskmanager, which makes and changes virtual disks.
//
// Progress and results go to standard output with a carriage return after each percentage, messages on failures too; the
// exit code is 0 or 1. Percentages are made up: qemu-img does the work at once.
package vdiskmanager

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/boxkiln/boxkiln/test/sim/vmware/host"
	"github.com/boxkiln/boxkiln/test/sim/vmware/vmdk"
)

// noise is what the real program complains about on many hosts, and does its work.
const noise = `VixDiskLib: Invalid configuration file parameter.  Failed to read configuration file.
SSLConfigLoad: Failed to load OpenSSL config file.
`

const usage = `VMware Virtual Disk Manager - build 24409262.
Usage: vmware-vdiskmanager OPTIONS <disk-name> | <mount-point>
Offline disk manipulation utility
  Operations, only one may be specified at a time:
     -c                   : create disk.  Additional creation options must
                            be specified.  Only local virtual disks can be
                            created.
     -d                   : defragment the specified virtual disk. Only
                            local virtual disks may be defragmented.
     -k                   : shrink the specified virtual disk. Only local
                            virtual disks may be shrunk.
     -n <source-disk>     : rename the specified virtual disk; need to
                            specify destination disk-name. Only local virtual
                            disks may be renamed.
     -r <source-disk>     : convert the specified disk; need to specify
                            destination disk-type.  For local destination disks
                            the disk type must be specified.
     -x <new-capacity>    : expand the disk to the specified capacity. Only
                            local virtual disks may be expanded.
     -R                   : check a sparse virtual disk for consistency and attempt
                            to repair any errors.
     -e                   : check for disk chain consistency.
     -U                   : delete a disk.
`

// failure is a message of the program, in its own words.
type failure string

func (f failure) Error() string { return string(f) }

func fail(format string, args ...any) error { return failure(fmt.Sprintf(format, args...)) }

// Reasons. Of those that are marked no transcript was found.
const (
	errExists    failure = "The file already exists (0x2700000027)" // unverified
	errLocked    failure = "Failed to lock the file (0x4000003ef)"  // number unverified
	errRepair    failure = "The specified virtual disk needs repair (0xe00003e86)."
	errMissing   failure = "The system cannot find the file specified (0x4000003ed)"                                // unverified
	errFull      failure = "There is not enough space in the file system for the selected operation (0xd0000003ec)" // unverified
	errWrongKind failure = "The operation is not supported on this type of disk (0x1)"                              // unverified
	errGrowOnly  failure = "The specified size is not larger than the current size of the disk (0x1)"               // unverified
)

var errArgument = errors.New("bad arguments")

// Main runs the program with its arguments, and returns its exit code.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	faults, err := host.ReadFaults()
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	if faults.Has(host.DiskNoise) {
		fmt.Fprint(stderr, noise)
	}
	o, err := parse(args)
	if err != nil {
		fmt.Fprint(stdout, usage)
		return 1
	}
	o.out, o.full = stdout, faults.Has(host.DiskFull)
	if err := operations[o.verb](ctx, o); err != nil {
		fmt.Fprintln(stdout, err)
		return 1
	}
	return 0
}

// order is what the arguments ask for.
type order struct {
	verb    string // -c, -d ...
	source  string // of -r and -n
	disk    string
	size    int64
	adapter string
	kind    vmdk.Kind
	out     io.Writer
	full    bool // there is no room on the host
}

var operations = map[string]func(context.Context, order) error{
	"-c": create, "-d": defragment, "-k": shrink, "-r": convert, "-n": rename, "-x": expand, "-R": repair, "-e": chain, "-U": remove,
}

func parse(args []string) (order, error) {
	o := order{adapter: "lsilogic", kind: -1}
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		if operations[word] != nil {
			if o.verb != "" {
				return o, errArgument
			}
			o.verb = word
		}
		var err error
		switch {
		case !slices.Contains([]string{"-r", "-n", "-a", "-s", "-x", "-t"}, word):
			err = o.word(word)
		case len(args) == 0:
			err = errArgument
		default:
			err = o.value(word, args[0])
			args = args[1:]
		}
		if err != nil {
			return o, err
		}
	}
	return o, o.complete()
}

// word takes what has no value: a verb, -q for quiet, or the disk.
func (o *order) word(word string) error {
	switch {
	case operations[word] != nil, word == "-q":
	case strings.HasPrefix(word, "-"), o.disk != "":
		return errArgument
	default:
		o.disk = word
	}
	return nil
}

// value takes an option with its value.
func (o *order) value(option, value string) (err error) {
	switch option {
	case "-r", "-n":
		o.source = value
	case "-a":
		o.adapter = value
	case "-s", "-x":
		o.size, err = bytesOf(value)
	case "-t":
		n, err := strconv.Atoi(value)
		if err != nil || !vmdk.Kind(n).Valid() {
			return errArgument
		}
		o.kind = vmdk.Kind(n)
	}
	return err
}

var adapters = regexp.MustCompile(`^(ide|buslogic|lsilogic|pvscsi)$`)

func (o *order) complete() error {
	kind := o.verb == "-c" || o.verb == "-r"
	switch {
	case o.verb == "", o.disk == "", !adapters.MatchString(o.adapter), kind && o.kind < 0, o.verb == "-c" && o.size <= 0:
		return errArgument
	}
	return nil
}

var sizePattern = regexp.MustCompile(`(?i)^([0-9]+)([KMGT]?)B?$`)

// bytesOf reads a size: sectors, or with a letter KB, MB, GB or TB.
func bytesOf(text string) (int64, error) {
	m := sizePattern.FindStringSubmatch(text)
	if m == nil {
		return 0, errArgument
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return 0, errArgument
	}
	unit := map[string]int64{"": 512, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}[strings.ToUpper(m[2])]
	if n > 62<<40/unit { // VMware's largest disk
		return 0, errArgument
	}
	return n * unit, nil
}

// progress prints percentages as the real program does, one over the other.
func (o order) progress(what string) {
	for _, percent := range []int{1, 25, 50, 75, 99} {
		fmt.Fprintf(o.out, "  %s: %d%% done.\r", what, percent)
	}
	fmt.Fprintf(o.out, "  %s: 100%% done.\n", what)
}

// open looks at a disk that is about to be used.
func (o order) open(ctx context.Context, path string) (vmdk.Info, error) {
	info, err := vmdk.Inspect(ctx, path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = errMissing
	case err != nil:
		err = errRepair
	case host.InUse(path):
		err = errLocked
	}
	if err != nil {
		return info, fail("Failed to open the disk '%s' : %v", path, err)
	}
	return info, nil
}

// room refuses to write a disk over another, or where there is none.
func (o order) room(what string) error {
	if o.full {
		return fail("Failed to %s disk: %v", what, errFull)
	}
	if _, err := os.Lstat(o.disk); err == nil {
		return fail("Failed to %s disk: %v", what, errExists)
	}
	return nil
}
