package upstream

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// The addresses of HashiCorp's hub.
const (
	cloudURL = "https://vagrantcloud.com"
	// hcpURL is HCP's Vagrant registry (hcp-sdk-go, cloud-vagrant-box-registry 2022-09-30). Public boxes need no token.
	hcpURL = "https://api.cloud.hashicorp.com/vagrant/2022-09-30"
)

// cloudHosts are the names under which the hub answered over the years.
var cloudHosts = map[string]bool{
	"vagrantcloud.com": true, "www.vagrantcloud.com": true, "app.vagrantup.com": true, "atlas.hashicorp.com": true,
	"portal.cloud.hashicorp.com": true,
}

// PlaceKind says how a place is read.
type PlaceKind string

const (
	// AnyURL is a catalog, or a box file, at an address.
	AnyURL PlaceKind = "url"
	// CloudOrg is an organisation of a server that speaks Vagrant Cloud's API.
	CloudOrg PlaceKind = "organisation"
	// HCPRegistry is a registry of HCP's API, or one box of it.
	HCPRegistry PlaceKind = "hcp"
	// LocalPath is a file or folder on this machine.
	LocalPath PlaceKind = "path"
)

// Place is where boxes are to be read from.
type Place struct {
	Kind PlaceKind
	// Base is the server of a CloudOrg or HCPRegistry, the address of AnyURL, or the path of LocalPath.
	Base string
	Org  string // of a CloudOrg or HCPRegistry
	Box  string // of a HCPRegistry; empty for all boxes
}

// ParsePlace reads what a user names:
//
//	https://vagrantcloud.com/org/box      a box of the hub, by any address that it ever had
//	https://vagrantcloud.com/org          all boxes of an organisation there
//	hcp://org, hcp://org/box              the same through HCP's own API
//	https://boxes.example.org/org         all boxes of an organisation of a server like Vagrant Cloud
//	https://boxes.example.org/org/box     any other address: a catalog or a box file
//	/srv/boxes, debian.box                a folder or a file on this machine, also as file:///srv/boxes
func ParsePlace(s string) (Place, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil && strings.Contains(s, "://"):
		return Place{}, errors.New("the address is no URL") // without it: there may be a password in it
	case err != nil || u.Scheme == "" || len(u.Scheme) == 1: // a path, perhaps with a drive's letter
		return localPlace(s)
	case u.Scheme == "file":
		if u.Host != "" && u.Host != "localhost" {
			return Place{}, fmt.Errorf("%q: a file on another machine; write file:///path", s)
		}
		return localPlace(u.Path)
	case u.Scheme == "hcp":
		return hcpPlace(s, u.Host, strings.Trim(u.Path, "/"))
	}
	if u, err = parseURL(s); err != nil {
		return Place{}, err
	}
	return urlPlace(s, u)
}

func localPlace(path string) (Place, error) {
	if path == "" {
		return Place{}, fmt.Errorf("nothing to read from: give a URL, a folder or a box file")
	}
	abs, err := filepath.Abs(path)
	return Place{Kind: LocalPath, Base: abs}, err
}

func hcpPlace(s, org, box string) (Place, error) {
	name := box
	if box == "" {
		name = "box"
	}
	if _, err := boxregistry.ParseName(org + "/" + name); err != nil {
		return Place{}, fmt.Errorf("%q: want hcp://ORG or hcp://ORG/BOX: %w", s, err)
	}
	return Place{Kind: HCPRegistry, Base: hcpURL, Org: org, Box: box}, nil
}

// urlPlace tells organisations from other addresses, and finds the catalogs of the hub behind its pages.
func urlPlace(s string, u *url.URL) (Place, error) {
	segments := strings.FieldsFunc(u.Path, func(r rune) bool { return r == '/' })
	if cloudHosts[u.Host] {
		segments = withoutPages(segments)
		switch len(segments) {
		case 1:
			return hcpPlace(s, segments[0], "")
		case 2:
			return Place{Kind: AnyURL, Base: cloudURL + "/api/v2/vagrant/" + url.PathEscape(segments[0]) + "/" + url.PathEscape(segments[1])}, nil
		}
	}
	if len(segments) == 1 && u.RawQuery == "" && filepath.Ext(segments[0]) != ".json" && filepath.Ext(segments[0]) != ".box" {
		base := *u
		base.Path, base.RawPath = "", ""
		return Place{Kind: CloudOrg, Base: base.String(), Org: segments[0]}, nil
	}
	return Place{Kind: AnyURL, Base: s}, nil
}

// withoutPages leaves the organisation and the box of an address of the hub: pages were at /org/boxes/box and
// /vagrant/discover/org/box, catalogs are at /api/v2/vagrant/org/box.
func withoutPages(segments []string) []string {
	for _, prefix := range [][]string{{"api", "v2", "vagrant"}, {"vagrant", "discover"}} {
		if len(segments) > len(prefix) && strings.Join(segments[:len(prefix)], "/") == strings.Join(prefix, "/") {
			segments = segments[len(prefix):]
		}
	}
	if len(segments) == 3 && segments[1] == "boxes" {
		return []string{segments[0], segments[2]}
	}
	return segments
}

// Remote reports whether the place is over a network.
func (p Place) Remote() bool { return p.Kind != LocalPath }

// String is the place for messages, without what may be secret.
func (p Place) String() string {
	switch p.Kind {
	case HCPRegistry:
		return strings.TrimSuffix("hcp://"+p.Org+"/"+p.Box, "/")
	case LocalPath:
		return p.Base
	}
	u, err := url.Parse(p.Base)
	if err != nil { // ParsePlace read it
		return string(p.Kind)
	}
	if p.Kind == CloudOrg {
		return shown(u) + "/" + p.Org
	}
	return shown(u)
}

// exists says whether a path is a folder or a file.
func exists(path string) (dir, file bool) {
	info, err := os.Stat(path)
	if err != nil {
		return false, false
	}
	return info.IsDir(), info.Mode().IsRegular()
}
