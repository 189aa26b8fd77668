package main

import (
	"errors"
	"fmt"
	"strings"
)

// The COM codes.
const (
	notFound      = "VBOX_E_OBJECT_NOT_FOUND"
	badVMState    = "VBOX_E_INVALID_VM_STATE"
	vmError       = "VBOX_E_VM_ERROR"
	fileError     = "VBOX_E_FILE_ERROR"
	badObjState   = "VBOX_E_INVALID_OBJECT_STATE"
	inUse         = "VBOX_E_OBJECT_IN_USE"
	invalidArg    = "NS_ERROR_INVALID_ARG"
	failure       = "NS_ERROR_FAILURE"
	notSupported  = "VBOX_E_NOT_SUPPORTED"
	calleeUnix    = "nsISupports"
	machineWrap   = "MachineWrap"
	vboxWrap      = "VirtualBoxWrap"
	mediumWrap    = "MediumWrap"
	consoleWrap   = "ConsoleWrap"
	applianceWrap = "ApplianceWrap"
)

var codeValues = map[string]uint32{
	notFound: 0x80bb0001, badVMState: 0x80bb0002, vmError: 0x80bb0003, fileError: 0x80bb0004, badObjState: 0x80bb0007,
	notSupported: 0x80bb0009, inUse: 0x80bb000c, invalidArg: 0x80070057, failure: 0x80004005,
}

// interfaces are those of the components.
var interfaces = map[string]string{
	machineWrap: "IMachine", vboxWrap: "IVirtualBox", mediumWrap: "IMedium", consoleWrap: "IConsole", applianceWrap: "IAppliance",
	"SessionMachine": "IMachine", "NATEngineWrap": "INATEngine", "SnapshotMachine": "IMachine", "ProgressWrap": "IProgress",
	"NvramStoreWrap": "INvramStore",
}

// comError is a call of VirtualBox's API that failed: text, "Details:" and, unless it is empty, "Context:".
type comError struct {
	code      string
	text      string // several lines are printed as they are; empty is "no extended info"
	component string
	context   string // what the caller called
	file      string // ... and where, "VBoxManageInfo.cpp:2719"
	more      string // a last line of the command line's own
}

func (e *comError) Error() string { return e.text }

// cliError is a complaint of the command line itself.
type cliError struct {
	text string
	exit int
}

func (e *cliError) Error() string { return e.text }

// complain is a one-line error with exit code 1.
func complain(format string, args ...any) error {
	return &cliError{text: fmt.Sprintf(format, args...), exit: exitFailure}
}

// badArgument is VBoxManage's errorArgument: a line, and exit code 2.
func badArgument(format string, args ...any) error {
	return &cliError{text: fmt.Sprintf(format, args...), exit: exitSyntax}
}

// syntaxError is answered with the usage.
type syntaxError struct {
	text   string
	getopt bool // the parser of options found it, which words it in the new way since long
}

func (e *syntaxError) Error() string { return e.text }

// syntax complains about the use of a command.
func syntax(format string, args ...any) error {
	return &syntaxError{text: fmt.Sprintf(format, args...)}
}

// quietError ends a command that has said all.
type quietError int

func (e quietError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// report prints an error and returns the exit code.
func (c *call) report(err error) int {
	c.flush()
	var (
		com   *comError
		cli   *cliError
		bad   *syntaxError
		quiet quietError
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &quiet):
		return int(quiet)
	case errors.As(err, &bad):
		c.reportSyntax(bad)
		return exitSyntax
	case errors.As(err, &com):
		c.reportCOM(com)
	case errors.As(err, &cli):
		c.complain(cli.text)
		return cli.exit
	default:
		c.complain("the simulator: " + err.Error())
	}
	if zero := (*zeroExitError)(nil); errors.As(err, &zero) {
		return exitOK
	}
	return exitFailure
}

// complain prints a line with the prefix of errors.
func (c *call) complain(text string) {
	fmt.Fprintf(c.err, "%s: error: %s\n", c.self, c.translate(text))
}

func (c *call) reportSyntax(e *syntaxError) {
	name, _, _ := strings.Cut(c.command, " ")
	if c.profile.seven() {
		fmt.Fprint(c.err, c.usage(name))
		c.complain(e.text)
		return
	}
	fmt.Fprint(c.err, c.logo(), c.usage(name))
	if e.getopt {
		c.complain(e.text)
		return
	}
	fmt.Fprintf(c.err, "\nSyntax error: %s\n", e.text)
}

func (c *call) reportCOM(e *comError) {
	value := codeValues[e.code]
	if e.text == "" {
		c.complain(fmt.Sprintf("Code %s (0x%08x) - %s (extended info not available)", e.code, value, plainTexts[e.code]))
	} else {
		c.complain(e.text)
		c.complain(fmt.Sprintf("Details: code %s (0x%08x), component %s, interface %s, callee %s",
			e.code, value, e.component, interfaces[e.component], calleeUnix))
	}
	if e.context != "" {
		file, line, _ := strings.Cut(e.file, ":")
		c.complain(fmt.Sprintf("Context: \"%s\" at line %s of file %s", e.context, line, file))
	}
	if e.more != "" {
		c.complain(e.more)
	}
}

// plainTexts are what codes are called where there is nothing better.
var plainTexts = map[string]string{
	invalidArg: "Invalid argument value", failure: "Operation failed", notFound: "Object corresponding to the supplied arguments does not exist",
}

// softly prints a complaint about how a command was used and makes its exit code 1: commands that have opened a session by then,
// modifyvm and those about storage, snapshots and running machines, do not end with 2.
func (c *call) softly(err error) error {
	var (
		cli *cliError
		bad *syntaxError
	)
	if !errors.As(err, &cli) && !errors.As(err, &bad) {
		return err
	}
	c.report(err)
	return quietError(exitFailure)
}

// Errors that many commands have in common.

// lockedForSession is the answer to a change of a machine that runs, or whose session lingers.
func lockedForSession(name, file string) error {
	return &comError{code: badObjState, component: machineWrap, file: file,
		text:    fmt.Sprintf("The machine '%s' is already locked for a session (or being unlocked)", name),
		context: "LockMachine(a->session, LockType_Write)"}
}

func noController(name string) error {
	return &comError{code: notFound, component: "SessionMachine", text: fmt.Sprintf("Could not find a storage controller named '%s'", name),
		context: "GetStorageControllerByName(Bstr(pszCtl).raw(), ctl.asOutParam())", file: "VBoxManageStorageController.cpp:360"}
}
