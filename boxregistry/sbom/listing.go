package sbom

import (
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Script is a program for a guest's /bin/sh. It writes which package manager the guest has, what its os-release says, and the
// list of its packages, in one run: in an emulated guest every command takes a while. It changes nothing.
//
//go:embed list.sh
var Script string

// Lines of the script's report.
const (
	beginMark = "boxkiln-packages " // the manager's name follows
	systemEnd = "boxkiln-list"      // the list follows
	endMark   = "boxkiln-end "      // the exit status of the manager follows
)

// ErrNoManager says that a guest has none of the package managers that are known.
var ErrNoManager = errors.New("the guest has no package manager that is known (dpkg, rpm, apk, pacman)")

// ErrReport says that a report is not what the script writes, or was cut off.
var ErrReport = errors.New("not a whole list of packages")

// managers are the names by which the script calls them.
var managers = map[string]Type{"dpkg": Deb, "rpm": RPM, "apk": APK, "pacman": Pacman}

// ParseReport reads what Script wrote. Lines before the report, such as those of a login shell's profile, are passed over.
// Errors: ErrNoManager, ErrReport.
func ParseReport(report string) (Inventory, error) {
	_, body, found := strings.Cut("\n"+report, "\n"+beginMark)
	manager, body, _ := strings.Cut(body, "\n")
	if !found {
		return Inventory{}, fmt.Errorf("%w: it does not begin with %q", ErrReport, strings.TrimSpace(beginMark))
	}
	if manager == "none" {
		return Inventory{}, ErrNoManager
	}
	typ, known := managers[manager]
	release, list, hasList := strings.Cut("\n"+body, "\n"+systemEnd+"\n")
	if !known || !hasList {
		return Inventory{}, fmt.Errorf("%w: it is of the manager %.40q", ErrReport, manager)
	}
	list, status, whole := strings.Cut("\n"+list, "\n"+endMark)
	if status, _, _ = strings.Cut(status, "\n"); !whole || status != "0" {
		return Inventory{}, fmt.Errorf("%w: %s ended with status %.10q", ErrReport, manager, status)
	}
	packages, err := Parse(typ, list)
	if err == nil && len(packages) == 0 {
		err = fmt.Errorf("%w: %s lists no package", ErrReport, manager)
	}
	return Inventory{System: parseRelease(release), Packages: packages}, err
}

// parseRelease reads what matters of os-release(5).
func parseRelease(text string) (s System) {
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		value = strings.Trim(value, `"'`)
		switch key {
		case "ID":
			s.ID = value
		case "VERSION_ID":
			s.Version = value
		}
	}
	return s
}

// Parse reads the list of one package manager, in the form that Script asks for:
//
//	deb   dpkg-query -W -f='${db:Status-Abbrev}\t${Package}\t${Version}\t${Architecture}\n'
//	rpm   rpm -qa --qf '%{NAME}\t%{EPOCH}\t%{VERSION}-%{RELEASE}\t%{ARCH}\n'
//	apk   apk list --installed
//	alpm  pacman -Q
//
// Blank lines count for nothing; any other that is not of that form is an error, ErrReport.
func Parse(t Type, listing string) ([]Package, error) {
	parse, ok := map[Type]func(string) (Package, bool, error){Deb: parseDpkg, RPM: parseRPM, APK: parseAPK, Pacman: parsePacman}[t]
	if !ok {
		return nil, fmt.Errorf("packages of type %q are not known: want one of %v", t, Types())
	}
	var list []Package
	n := 0
	for line := range strings.Lines(listing) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if strings.TrimSpace(line) == "" {
			continue
		}
		p, counts, err := parse(line)
		if err == nil && counts {
			err = check(p)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: line %d, %.100q: %w", ErrReport, n, line, err)
		}
		if counts {
			p.Type = t
			list = append(list, p)
		}
	}
	return sorted(list), nil
}

// word is what names, versions and architectures look like: printable, without blanks.
var word = regexp.MustCompile(`^[!-~]{1,255}$`)

func check(p Package) error {
	if !word.MatchString(p.Name) || !word.MatchString(p.Version) || p.Arch != "" && !word.MatchString(p.Arch) {
		return errors.New("want a name, a version and an architecture without blanks")
	}
	return nil
}

// fields cuts a line with tabs between its fields.
func fields(line string, n int) ([]string, error) {
	f := strings.Split(line, "\t")
	if len(f) != n {
		return nil, fmt.Errorf("it has %d fields instead of %d", len(f), n)
	}
	return f, nil
}

// parseDpkg leaves out packages that are removed with their configuration kept, or half unpacked: the second letter of the
// status is "i" for what is installed (dpkg-query(1)).
func parseDpkg(line string) (Package, bool, error) {
	f, err := fields(line, 4)
	if err != nil {
		return Package{}, false, err
	}
	installed := len(f[0]) > 1 && f[0][1] == 'i'
	return Package{Name: f[1], Version: f[2], Arch: f[3]}, installed, nil
}

// noneRPM is how rpm writes a tag that is not set.
const noneRPM = "(none)"

// parseRPM leaves out the keys that rpm keeps as packages without an architecture.
func parseRPM(line string) (Package, bool, error) {
	f, err := fields(line, 4)
	if err != nil {
		return Package{}, false, err
	}
	p := Package{Name: f[0], Version: f[2], Arch: f[3]}
	if f[1] != noneRPM && f[1] != "0" && f[1] != "" {
		p.Version = f[1] + ":" + p.Version
	}
	if p.Arch == noneRPM {
		p.Arch = ""
	}
	return p, p.Name != "gpg-pubkey", nil
}

// apkName cuts "name-1.2.3-r0": the version begins after the last dash but one, and with a digit.
var apkName = regexp.MustCompile(`^(.+)-([0-9][^-]*-r[0-9]+)$`)

// parseAPK reads "musl-1.2.4-r2 x86_64 {musl} (MIT) [installed]".
func parseAPK(line string) (Package, bool, error) {
	f := strings.Fields(line)
	if len(f) < 2 {
		return Package{}, false, errors.New("want a package and its architecture")
	}
	m := apkName.FindStringSubmatch(f[0])
	if m == nil {
		return Package{}, false, errors.New("want NAME-VERSION-rN")
	}
	return Package{Name: m[1], Version: m[2], Arch: f[1]}, true, nil
}

// parsePacman reads "bash 5.2.026-2".
func parsePacman(line string) (Package, bool, error) {
	f := strings.Fields(line)
	if len(f) != 2 {
		return Package{}, false, errors.New("want a name and a version")
	}
	return Package{Name: f[0], Version: f[1]}, true, nil
}
