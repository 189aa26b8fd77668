// Package ovftool is the simulator's ovftool: it turns a VMX with its disks into an OVF or OVA package, and back.
//
// Writer and reader are its own and share nothing with Boxkiln's. The writer's descriptors look like those that ovftool 4
// makes; the reader refuses what VMware refuses in what other products make: their hardware families and controllers,
// disks that are not what the descriptor says, digests that do not match. Everything goes to standard output; the exit
// code is 0 or 1. Wordings that no transcript was found for are marked.
package ovftool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/test/sim/vmware/host"
)

// version is what the program says of itself; Packer 2 wants 4.6.0 at least.
const version = "VMware ovftool 4.6.3 (build-24031167)"

const usage = version + `

Usage: ovftool [options] <source> [<target>]
where
<source>: Source URL locator to an OVF package, VMX file, or virtual machine.
<target>: Target URL locator which specifies either a file location, or a
          location in the VMware infrastructure.
`

// refusal is a message of the program, in its own words.
type refusal string

func (r refusal) Error() string { return string(r) }

func refuse(format string, args ...any) error { return refusal(fmt.Sprintf(format, args...)) }

// job is what the arguments ask for.
type job struct {
	source, target string // absolute
	kind           string // of the target: ovf, ova or vmx
	name           string // of the machine; empty for its own
	sha            string // algorithm of the manifest
	overwrite      bool
	skipManifest   bool
	lax            bool
	full           bool // there is no room on the host
	out            io.Writer
}

// Main runs the program with its arguments, and returns its exit code.
func Main(ctx context.Context, args []string, out io.Writer) int {
	if slices.Contains(args, "--version") || slices.Contains(args, "-v") {
		fmt.Fprintln(out, version)
		return 0
	}
	j, err := parse(args)
	if err == nil {
		var faults host.Faults
		faults, err = host.ReadFaults()
		j.full, j.out = faults.Has(host.DiskFull), out
	}
	if errors.Is(err, errUsage) {
		fmt.Fprint(out, usage)
		return 1
	}
	if err == nil {
		err = j.run(ctx)
	}
	if err != nil {
		fmt.Fprintf(out, "Error: %v\nCompleted with errors\n", err)
		return 1
	}
	fmt.Fprintln(out, "Completed successfully")
	return 0
}

var errUsage = errors.New("bad arguments")

// ignored are options that change nothing here.
var ignored = []string{"acceptAllEulas", "noSSLVerify", "compress", "X:logFile", "X:logLevel", "machineOutput", "allowExtraConfig", "diskMode", "hideEula", "quiet", "exportFlags"}

func parse(args []string) (job, error) {
	j := job{sha: "SHA256"}
	var places []string
	for _, arg := range args {
		if !strings.HasPrefix(arg, "-") {
			places = append(places, arg)
			continue
		}
		if err := j.option(strings.TrimLeft(arg, "-")); err != nil {
			return j, err
		}
	}
	if len(places) != 2 {
		return j, errUsage
	}
	if j.kind == "" {
		j.kind = strings.ToLower(strings.TrimPrefix(filepath.Ext(places[1]), "."))
	}
	var err1, err2 error
	j.source, err1 = filepath.Abs(places[0])
	j.target, err2 = filepath.Abs(places[1])
	return j, errors.Join(err1, err2)
}

func (j *job) option(option string) error {
	key, value, _ := strings.Cut(option, "=")
	on := value == "" || value == "true" || value == "1"
	switch key {
	case "o", "overwrite":
		j.overwrite = on
	case "lax":
		j.lax = on
	case "skipManifestCheck":
		j.skipManifest = on
	case "n", "name":
		j.name = value
	case "tt", "targetType":
		j.kind = strings.ToLower(value)
	case "shaAlgorithm":
		j.sha = strings.ToUpper(value)
		if hashes[j.sha] == nil {
			return refuse("Invalid value for option 'shaAlgorithm': %s", value) // unverified
		}
	default:
		if !slices.Contains(ignored, key) {
			return refuse("Unknown option: '%s'", option) // unverified
		}
	}
	return nil
}

// run moves a machine from its source to its target.
func (j job) run(ctx context.Context) error {
	from := strings.ToLower(strings.TrimPrefix(filepath.Ext(j.source), "."))
	if _, err := os.Stat(j.source); err != nil {
		return refuse("File (%s) could not be opened", j.source) // unverified
	}
	if _, err := os.Stat(j.target); err == nil && !j.overwrite {
		return refuse("File already exists: %s", j.target) // unverified
	}
	switch {
	case from == "vmx" && (j.kind == "ovf" || j.kind == "ova"):
		return j.pack(ctx)
	case (from == "ovf" || from == "ova") && j.kind == "vmx":
		return j.unpack(ctx)
	}
	return refuse("Failed to parse option: the simulator does not turn %q into %q", from, j.kind)
}

// progress prints percentages over each other.
func (j job) progress() {
	for _, percent := range []int{0, 33, 66, 99} {
		fmt.Fprintf(j.out, "Disk progress: %d%%\r", percent)
	}
	fmt.Fprint(j.out, "Transfer Completed                    \n")
}

// begin says what is about to be done.
func (j job) begin() {
	names := map[string]string{"vmx": "VMX", "ovf": "OVF", "ova": "OVA"}
	from := names[strings.ToLower(strings.TrimPrefix(filepath.Ext(j.source), "."))]
	fmt.Fprintf(j.out, "Opening %s source: %s\n", from, j.source)
	fmt.Fprintf(j.out, "Opening %s target: %s\n", names[j.kind], j.target)
	what := "Writing " + names[j.kind] + " package"
	if j.kind == "vmx" {
		what = "Writing VMX file"
	}
	fmt.Fprintf(j.out, "%s: %s\n", what, j.target)
}

// stem is the name of the target's files without their extension.
func (j job) stem() string {
	return strings.TrimSuffix(filepath.Base(j.target), filepath.Ext(j.target))
}
