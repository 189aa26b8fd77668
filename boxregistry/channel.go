package boxregistry

import (
	"regexp"
	"slices"
	"strings"
)

// Channel is a stream of released versions that clients can follow. Vagrant takes a pre-release for the newest version,
// so a number alone cannot keep a candidate from those who want what is proven: a version is released into a channel, and
// promoted into another one without being built again.
type Channel string

const (
	// Stable is what clients follow who ask for nothing else.
	Stable Channel = "stable"
	// Candidate is the usual name for versions on trial. Any other name is a channel too.
	Candidate Channel = "candidate"
)

var channelName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// ParseChannel checks a channel's name. The error is an *InvalidNameError.
func ParseChannel(s string) (Channel, error) {
	if !channelName.MatchString(s) {
		return "", &InvalidNameError{Kind: "channel", Value: s, Want: `want up to 32 lower-case letters, digits and dashes, for example "candidate"`}
	}
	return Channel(s), nil
}

// channelMark stands between a box and a channel in what a client writes. It can be no other: with "@" anywhere in a URL
// Vagrant crashes (lib/vagrant/util/credential_scrubber.rb looks for a password), ":" is none for QEMU and Windows, and
// "+" is a blank in some places. A tilde is never escaped in URLs.
const channelMark = "~"

// ParseFollowed reads what a client writes as config.vm.box: "org/box" follows the stable channel, "org/box~candidate"
// that one. The error is an *InvalidNameError.
func ParseFollowed(s string) (Name, Channel, error) {
	text, suffix, found := strings.Cut(s, channelMark)
	name, err := ParseName(text)
	if err != nil || !found {
		return name, Stable, err
	}
	c, err := ParseChannel(suffix)
	return name, c, err
}

// Followed is what a client writes to follow a channel of a box, the inverse of ParseFollowed.
func (n Name) Followed(c Channel) string {
	if c == Stable || c == "" {
		return n.String()
	}
	return n.String() + channelMark + string(c)
}

// ChannelsOf is every channel that a version of the box is in, sorted.
func ChannelsOf(b Box) []Channel {
	var out []Channel
	for _, r := range b.Releases {
		out = append(out, r.Channels...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
