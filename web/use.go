package web

import (
	"context"
	"fmt"
	"net/url"
	"path"
	"strings"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
)

// use is what to copy, filled in for this server and one version.
type use struct {
	Private     bool
	Vagrantfile string
	Commands    []command       // with Vagrant
	Channels    []command       // to follow another channel than the stable one
	Downloads   []command       // without Vagrant
	Token       string          // what gives Vagrant a token
	Images      []boxfile.Image // that the file for aws names
}

// command is one thing to type, with the word that says when.
type command struct{ For, Text string }

// newUse fills in the commands; exact ones name the version, others take the newest. "vagrant box add" asks back when there are several providers unless --provider is given; by
// the full URL it needs no variable.
func newUse(b boxregistry.Box, rel boxregistry.Release, base string, exact bool) use {
	u := use{Private: b.Private}
	if len(rel.Channels) > 0 {
		u.Vagrantfile = vagrantfile(base, b.Name.Followed(channelOf(rel)), rel.Version)
	}
	if b.Private {
		u.Token = "export VAGRANT_CLOUD_TOKEN=bxk_..."
	}
	for _, p := range providersOf(rel) {
		u.Commands = append(u.Commands, command{string(p), addCommand(b, rel, p, base, exact)})
	}
	for _, c := range otherChannels(b) {
		u.Channels = append(u.Channels, command{"channel " + string(c), fmt.Sprintf("config.vm.box = %q", b.Name.Followed(c))})
	}
	for _, f := range rel.Files {
		if f.Complete() {
			u.Downloads = append(u.Downloads, command{slotName(f), fetchCommand(b, rel, f, base) + importCommand(b, rel, f)})
		}
	}
	return u
}

// images are those that the file for aws of a version names; the first architecture counts.
func (s *Site) images(ctx context.Context, rel boxregistry.Release) ([]boxfile.Image, error) {
	for _, f := range rel.Files {
		if f.Provider != boxfile.AWS || f.Digest == "" || s.Known == nil {
			continue
		}
		sum, err := s.Known.Contents(ctx, f.Digest)
		return sum.Images, unlessAbsent(err)
	}
	return nil, nil
}

// channelOf is the channel that a Vagrantfile has to name for the version: the stable one if it is there.
func channelOf(rel boxregistry.Release) boxregistry.Channel {
	for _, c := range rel.Channels {
		if c == boxregistry.Stable {
			return c
		}
	}
	return rel.Channels[0]
}

func vagrantfile(base, box string, v boxregistry.Version) string {
	return fmt.Sprintf(`ENV["VAGRANT_SERVER_URL"] ||= %q

Vagrant.configure("2") do |config|
  config.vm.box = %q
  config.vm.box_version = %q
end
`, base, box, v.String())
}

// addCommand names the server in full. Vagrant before 2.4 sends the token to the server of VAGRANT_SERVER_URL only, so that a
// private box is added by its name.
func addCommand(b boxregistry.Box, rel boxregistry.Release, p boxregistry.Provider, base string, exact bool) string {
	followed := b.Name.String()
	if len(rel.Channels) > 0 {
		followed = b.Name.Followed(channelOf(rel))
	}
	add := fmt.Sprintf("vagrant box add --provider %s \\\n  ", p)
	if exact {
		add += fmt.Sprintf("--box-version %s \\\n  ", rel.Version)
	}
	if b.Private {
		return fmt.Sprintf("VAGRANT_SERVER_URL=%s \\\n  %s%s", base, add, followed)
	}
	return add + base + "/" + followed
}

// otherChannels are those of the box that clients follow only when they ask for it.
func otherChannels(b boxregistry.Box) []boxregistry.Channel {
	var out []boxregistry.Channel
	for _, c := range boxregistry.ChannelsOf(b) {
		if c != boxregistry.Stable {
			out = append(out, c)
		}
	}
	return out
}

// fileName is what a downloaded file is called.
func fileName(b boxregistry.Box, rel boxregistry.Release, f boxregistry.File) string {
	return fmt.Sprintf("%s-%s-%s-%s.box", b.Name.Box(), rel.Version, f.Provider, f.Architecture)
}

// fetchCommand downloads a file and checks it; a password may be a token.
func fetchCommand(b boxregistry.Box, rel boxregistry.Release, f boxregistry.File, base string) string {
	file, from, login := fileName(b, rel, f), f.URL, ""
	if from == "" {
		from = base + f.Path(b.Name, rel.Version)
	}
	if b.Private && f.URL == "" {
		login = ` -u "x:$VAGRANT_CLOUD_TOKEN"`
	}
	text := fmt.Sprintf("curl -fL%s -o %s \\\n  %s", login, file, quoted(from))
	if f.Digest != "" {
		text += fmt.Sprintf("\necho '%s  %s' | sha256sum -c", f.Digest, file)
	}
	return text
}

// quoted makes a URL one word of a shell: those of ours are, those that somebody else keeps a file at need not be.
func quoted(u string) string {
	if parsed, err := url.Parse(u); err == nil && parsed.RawQuery == "" && !strings.ContainsAny(u, "'\"$`\\!&;|<>()*?[]{}~# \t\n") {
		return u
	}
	return "'" + strings.ReplaceAll(u, "'", `'\''`) + "'"
}

// importCommand is how a box becomes a machine without Vagrant.
func importCommand(b boxregistry.Box, rel boxregistry.Release, f boxregistry.File) string {
	file, name := fileName(b, rel, f), b.Name.Box()
	unpack := fmt.Sprintf("\nmkdir %s && tar -xf %s -C %s", name, file, name)
	switch f.Provider {
	case boxfile.Libvirt:
		firmware := ""
		if f.Firmware == "uefi" {
			firmware = " --boot uefi"
		}
		return unpack + fmt.Sprintf("\nvirt-install --import --name %s --memory 2048 --vcpus 2 --osinfo detect=on,require=off%s \\\n  --disk %s",
			name, firmware, path.Join(name, "box.img"))
	case boxfile.VirtualBox:
		return unpack + fmt.Sprintf("\nVBoxManage import %s", path.Join(name, "box.ovf"))
	case boxfile.VMwareDesktop:
		return unpack + fmt.Sprintf("\nvmrun start %s/*.vmx", name)
	}
	return unpack
}

// slotName is how people tell the files of a version apart.
func slotName(f boxregistry.File) string { return string(f.Provider) + " " + string(f.Architecture) }
