// Package vmrun is the simulator's vmrun: its commands, messages and exit codes.
//
// Every message goes to standard output, errors too. 0 is success, 255 any failure; checkToolsState exits 254 when it
// knows nothing. Wordings that no transcript of the real program was found for are marked in the code.
package vmrun

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/test/sim/vmware/host"
	"github.com/boxkiln/boxkiln/test/sim/vmware/power"
)

// Version is what the program says of itself.
const Version = "1.17.0 build-24409262"

const usage = "vmrun version " + Version + `

Usage: vmrun [AUTHENTICATION-FLAGS] COMMAND [PARAMETERS]


AUTHENTICATION-FLAGS
--------------------
These must appear before the command and any command parameters.

   -T <hostType> (ws|fusion|player)
   -vp <password for encrypted virtual machine>
   -gu <userName in guest OS>
   -gp <password in guest OS>
`

// The exit codes.
const (
	exitOK      = 0
	exitUnknown = 254
	exitFailure = 255
)

// Messages that only the command line has.
const (
	errNoParameters Error = "Insufficient parameters" // wording unverified
	errNotSupported Error = "The operation is not supported"
	errAddress      Error = "Unable to get the IP address"
)

// Error is a message in vmrun's words.
type Error = power.Error

// call is a command with what it needs.
type call struct {
	home   host.Home
	faults host.Faults
	vmx    string   // absolute path of the machine's configuration, for all commands but list
	args   []string // what follows it
	out    io.Writer
}

// arg is the argument at i, empty if it is not there.
func (c *call) arg(i int) string {
	if i < len(c.args) {
		return c.args[i]
	}
	return ""
}

// command is what a word does. It has at least min arguments, the VMX among them.
type command struct {
	min    int
	player bool // VMware Player has it too
	run    func(ctx context.Context, c *call) error
}

var commands = map[string]command{
	"list":              {0, true, list},
	"start":             {1, true, start},
	"stop":              {1, true, stop},
	"reset":             {1, true, reset},
	"suspend":           {1, true, suspend},
	"pause":             {1, true, pause},
	"unpause":           {1, true, unpause},
	"deletevm":          {1, false, deleteVM},
	"snapshot":          {2, false, takeSnapshot},
	"listsnapshots":     {1, false, listSnapshots},
	"reverttosnapshot":  {2, false, revertToSnapshot},
	"deletesnapshot":    {2, false, deleteSnapshot},
	"clone":             {3, false, clone},
	"getguestipaddress": {1, true, guestAddress},
	"checktoolsstate":   {1, true, checkTools},
	"installtools":      {1, true, installTools},
	"readvariable":      {3, true, readVariable},
	"writevariable":     {4, true, writeVariable},
}

// inGuest are commands that are carried out by the tools in the guest, which the simulator's guests never have.
var inGuest = []string{
	"runprograminguest", "runscriptinguest", "fileexistsinguest", "directoryexistsinguest", "deletefileinguest", "listprocessesinguest",
	"killprocessinguest", "createdirectoryinguest", "copyfilefromhosttoguest", "copyfilefromguesttohost", "renamefileinguest",
	"typekeystrokesinguest", "capturescreen", "connectnameddevice", "enablesharedfolders", "addsharedfolder",
}

// exit is an error that has its own code and is printed as it is.
type exit struct {
	code int
	text string
}

func (e exit) Error() string { return e.text }

// Main runs the program with its arguments, and returns its exit code.
func Main(ctx context.Context, args []string, out io.Writer) int {
	product, args, ok := flags(args)
	if !ok || len(args) == 0 {
		fmt.Fprint(out, usage)
		return exitFailure
	}
	err := run(ctx, product, args[0], args[1:], out)
	switch e := err.(type) {
	case nil:
		return exitOK
	case exit:
		fmt.Fprintln(out, e.text)
		return e.code
	}
	fmt.Fprintf(out, "Error: %v\n", err)
	return exitFailure
}

// flags reads what precedes the command.
func flags(args []string) (product string, rest []string, ok bool) {
	for product = "ws"; len(args) > 0 && strings.HasPrefix(args[0], "-"); args = args[2:] {
		if len(args) < 2 || !slices.Contains([]string{"-T", "-vp", "-gu", "-gp"}, args[0]) {
			return "", nil, false
		}
		if args[0] == "-T" {
			product = args[1]
		}
	}
	return product, args, product == "ws" || product == "player" || product == "fusion"
}

func run(ctx context.Context, product, word string, args []string, out io.Writer) error {
	guest := slices.Contains(inGuest, strings.ToLower(word))
	cmd, ok := commands[strings.ToLower(word)]
	if !ok && !guest {
		return Error("Unrecognized command: " + word)
	}
	if product == "fusion" { // that is another host; wording unverified
		return Error("Unable to connect to host.")
	}
	if len(args) < max(cmd.min, 1) && (guest || cmd.min > 0) {
		return errNoParameters
	}
	if product == "player" && !cmd.player && !guest {
		return errNotSupported
	}
	c, err := newCall(args, out)
	if err != nil {
		return err
	}
	if guest {
		return fmt.Errorf("%w %s", power.ErrToolsDown, c.vmx)
	}
	return cmd.run(ctx, c)
}

func newCall(args []string, out io.Writer) (*call, error) {
	home, err := host.Open()
	if err != nil {
		return nil, err
	}
	faults, err := host.ReadFaults()
	if err != nil {
		return nil, err
	}
	c := &call{home: home, faults: faults, out: out}
	if len(args) > 0 {
		c.args = args[1:]
		c.vmx, err = filepath.Abs(args[0])
	}
	return c, err
}
