// Package sbom knows what is installed in a guest: it reads the lists of package managers, writes and reads them as
// CycloneDX, and tells what differs between two of them.
//
// [Script] is what a guest is asked, and [ParseReport] makes an [Inventory] of its answer. [Encode] writes the inventory as a
// CycloneDX document, the same bytes for the same packages, so that it has a digest that provenance can name; [Decode] reads
// it again, and what other tools wrote. [Compare] orders versions as the package's own manager does, [Diff] tells what became
// of the packages between two boxes, and [CompareProviders] what the boxes of one version do not have in common.
//
// The package does no I/O.
package sbom

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
)

// Type is the kind of a package, by the name that package URLs have for it:
// https://github.com/package-url/purl-spec (PURL-TYPES).
type Type string

// The kinds of packages that are known.
const (
	Deb    Type = "deb"
	RPM    Type = "rpm"
	APK    Type = "apk"
	Pacman Type = "alpm" // Arch Linux Package Manager
)

// Types are the known kinds.
func Types() []Type { return []Type{Deb, RPM, APK, Pacman} }

// Package is one installed package.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`        // as its manager writes it, with the epoch
	Arch    string `json:"arch,omitempty"` // in the manager's words, such as "amd64", "x86_64", "all"; empty when it does not say
	Type    Type   `json:"type"`
}

// System is the operating system of a guest, as os-release(5) names it.
type System struct {
	ID      string `json:"id,omitempty"`      // "debian"
	Version string `json:"version,omitempty"` // "12"; empty for rolling releases
}

// Inventory is what is installed in a guest.
type Inventory struct {
	System   System
	Packages []Package // by type, name, architecture and version
}

// order is that of Inventory.Packages. Versions are ordered as text here, so that equal inventories are equal bytes.
func order(a, b Package) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Arch, b.Arch), cmp.Compare(a.Version, b.Version))
}

// sorted puts packages in order and leaves out what is there twice.
func sorted(list []Package) []Package {
	slices.SortFunc(list, order)
	return slices.Compact(list)
}

// PURL is the package URL, such as "pkg:deb/debian/openssl@3.0.17-1~deb12u2?arch=amd64&distro=debian-12". The epoch of an RPM
// is a qualifier, as its type wants it; it is part of the version everywhere else.
func (p Package) PURL(s System) string {
	var b strings.Builder
	b.WriteString("pkg:" + string(p.Type) + "/")
	if s.ID != "" {
		b.WriteString(escape(strings.ToLower(s.ID)) + "/")
	}
	version := p.Version
	q := qualifiers{}
	q.add("arch", p.Arch)
	if s.ID != "" && s.Version != "" {
		q.add("distro", s.ID+"-"+s.Version)
	}
	if epoch, rest, ok := strings.Cut(version, ":"); ok && p.Type == RPM {
		version = rest
		q.add("epoch", epoch)
	}
	b.WriteString(escape(p.Name) + "@" + escape(version))
	b.WriteString(q.String())
	return b.String()
}

// qualifiers end a package URL; they are added in alphabetical order.
type qualifiers []string

func (q *qualifiers) add(key, value string) {
	if value != "" {
		*q = append(*q, key+"="+escape(value))
	}
}

func (q qualifiers) String() string {
	if len(q) == 0 {
		return ""
	}
	return "?" + strings.Join(q, "&")
}

// escape percent-encodes all but what a package URL leaves alone: letters, digits and ".-_~:".
func escape(s string) string { return purlEscaper.Replace(url.QueryEscape(s)) }

var purlEscaper = strings.NewReplacer("+", "%20", "%3A", ":")

// parsePURL reads the parts of a package URL that a Package has. It reports whether the URL is of a known type.
func parsePURL(text string) (p Package, ok bool) {
	rest, isPURL := strings.CutPrefix(text, "pkg:")
	if !isPURL {
		return p, false
	}
	rest, _, _ = strings.Cut(rest, "#")
	rest, query, _ := strings.Cut(rest, "?")
	path, version, found := cutLast(rest, "@")
	typ, path, hasName := strings.Cut(strings.Trim(path, "/"), "/")
	p.Type = Type(strings.ToLower(typ))
	if !found || !hasName || !slices.Contains(Types(), p.Type) {
		return p, false
	}
	q, err := url.ParseQuery(query)
	if err != nil {
		return p, false
	}
	p.Arch = q.Get("arch")
	var nameErr, versionErr error
	p.Name, nameErr = url.PathUnescape(path[strings.LastIndex(path, "/")+1:])
	p.Version, versionErr = url.PathUnescape(version)
	if epoch := q.Get("epoch"); epoch != "" && p.Type == RPM {
		p.Version = epoch + ":" + p.Version
	}
	return p, nameErr == nil && versionErr == nil && p.Name != "" && p.Version != ""
}

// cutLast is strings.Cut at the last separator.
func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
