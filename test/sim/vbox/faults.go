package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// fault is an entry of BOXKILN_SIM_FAULTS.
type fault struct {
	name    string
	command string // empty for all
	times   int    // 0 for always
}

func parseFaults(list string) []fault {
	var faults []fault
	for _, entry := range strings.Split(list, ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		parts := append(strings.SplitN(entry, ":", 3), "", "")
		times, _ := strconv.Atoi(parts[2])
		faults = append(faults, fault{parts[0], parts[1], times})
	}
	return faults
}

// has tells if a fault that concerns all commands is set.
func (c *call) has(name string) bool {
	for _, f := range c.faults {
		if f.name == name {
			return true
		}
	}
	return false
}

// strikes tells if a fault hits this command now, and counts it.
func (c *call) strikes(name string) bool {
	word, _, _ := strings.Cut(c.command, " ")
	for _, f := range c.faults {
		if f.name == name && (f.command == "" || f.command == c.command || f.command == word) {
			return f.times == 0 || c.count(f) <= f.times
		}
	}
	return false
}

// count counts the calls that a fault would hit, this one included.
func (c *call) count(f fault) int {
	if err := os.MkdirAll(c.home, 0o700); err != nil {
		return 1
	}
	name := strings.ReplaceAll(fmt.Sprintf("fault-%s-%s", f.name, f.command), " ", "-")
	file, err := os.OpenFile(filepath.Join(c.home, name), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return 1
	}
	defer file.Close()
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return 1
	}
	file.WriteString(".")
	info, err := file.Stat()
	if err != nil {
		return 1
	}
	return int(info.Size())
}

// startFault is what hits a command before it does anything.
func (c *call) startFault(args []string) error {
	switch {
	case c.strikes("locked"):
		return lockedForSession(strings.Join(args[:min(1, len(args))], ""), "VBoxManageModifyVM.cpp:554")
	case c.strikes("exit0"):
		return &zeroExitError{comError{code: failure, component: vboxWrap, text: "A failure that the exit code hides"}}
	}
	return nil
}

// progressFault is what hits an operation under way.
func (c *call) progressFault() error {
	switch {
	case c.strikes("progress"):
		return &comError{code: fileError, component: applianceWrap, text: "The operation was interrupted by a simulated failure"}
	case c.strikes("diskfull"):
		return &comError{code: fileError, component: mediumWrap, text: "Could not write to the storage unit (VERR_DISK_FULL)"}
	}
	return nil
}

// zeroExitError is an error that is printed and then forgotten: the command ends with 0.
type zeroExitError struct{ comError }

func (e *zeroExitError) Unwrap() error { return &e.comError }

// german are the texts of the translation that profiles 7.x have with the fault "nls". Codes stay as they are.
var german = strings.NewReplacer(
	"Could not find a registered machine named", "Es wurde keine registrierte Maschine gefunden mit dem Namen",
	"is already locked for a session (or being unlocked)", "ist bereits für eine Sitzung gesperrt (oder wird gerade entsperrt)",
	"is already locked by a session (or being locked or unlocked)", "ist bereits durch eine Sitzung gesperrt",
	"The machine", "Die Maschine",
	"is not currently running", "läuft derzeit nicht",
	"Could not find a storage controller named", "Es wurde kein Speichercontroller gefunden mit dem Namen",
	"A NAT rule of this name already exists", "Eine NAT-Regel mit diesem Namen existiert bereits",
	"Could not open the medium", "Das Medium konnte nicht geöffnet werden:",
	"Unknown option", "Unbekannte Option", "Invalid command", "Ungültiger Befehl",
	"Details: code", "Details: Code", "Context:", "Kontext:",
)

// translate gives a text in the user's language.
func (c *call) translate(text string) string {
	if !c.profile.seven() || !c.has("nls") {
		return text
	}
	language := ""
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if language == "" {
			language = os.Getenv(name)
		}
	}
	if !strings.HasPrefix(language, "de") {
		return text
	}
	return german.Replace(text)
}
