package main

import (
	"fmt"
	"strings"
)

func (v *view) controllers() {
	for i, ctl := range v.m.Storage {
		k, _ := kindOf(ctl.Bus)
		key := func(what string) string { return fmt.Sprintf("storagecontroller%s%d", what, i) }
		v.raw(key("name"), ctl.Name)
		v.raw(key("type"), ctl.Type)
		v.raw(key("instance"), "0")
		v.raw(key("maxportcount"), fmt.Sprint(k.max))
		v.raw(key("portcount"), fmt.Sprint(ctl.Ports))
		v.raw(key("bootable"), onOff(ctl.Bootable))
	}
}

func (v *view) attachments() {
	for _, ctl := range v.m.Storage {
		k, _ := kindOf(ctl.Bus)
		for port := range ctl.Ports {
			for device := range k.units {
				v.attachment(ctl, port, device)
			}
		}
	}
}

// attachment prints a place of a controller. Names and paths are escaped only in 7.1 and newer.
func (v *view) attachment(ctl *controller, port, device int) {
	place := fmt.Sprintf("-%d-%d", port, device)
	show := func(key, value string) {
		if v.c.profile.atLeast(71) {
			key, value = escaped.Replace(key), escaped.Replace(value)
		}
		v.raw(quote(key), value)
	}
	// Since 7.0 flags say which place they are about.
	flag := func(name string, on bool) {
		if v.seven() {
			name += place
		}
		show(ctl.Name+"-"+name, onOff(on))
	}
	a := ctl.at(port, device)
	if a == nil {
		show(ctl.Name+place, "none")
		return
	}
	x := v.s.findMedium(a.Medium)
	if x == nil {
		show(ctl.Name+place, "emptydrive")
		if a.Type == "dvddrive" {
			flag("IsEjected", false)
		}
		return
	}
	show(ctl.Name+place, x.Path)
	show(ctl.Name+"-ImageUUID"+place, x.UUID)
	if a.Type == "dvddrive" {
		flag("tempeject", a.TempEject)
		flag("IsEjected", false)
	}
	if strings.EqualFold(ctl.Name, "SATA") || strings.EqualFold(ctl.Name, "USB") {
		flag("hot-pluggable", a.HotPluggable)
	}
	flag("nonrotational", a.NonRotational)
	flag("discard", a.Discard)
}

func quote(s string) string { return `"` + s + `"` }

// card prints a network card.
func (v *view) card(slot int, n *nic) {
	key := func(name string) string { return fmt.Sprintf("%s%d", name, slot) }
	if n.Type == "none" {
		v.raw(key("nic"), "none")
		return
	}
	connected := map[string]string{
		"bridged": "bridgeadapter", "intnet": "intnet", "hostonly": "hostonlyadapter", "generic": "generic", "natnetwork": "nat-network", "hostonlynet": "hostonly-network",
	}
	shown := map[string]string{"generic": "Generic", "hostonlynet": "hostonlynetwork"}
	if name := connected[n.Type]; name != "" {
		v.raw(key(name), n.Net)
	}
	if n.Type == "nat" {
		net := n.Net
		if net == "" {
			net = "nat"
		}
		v.raw(key("natnet"), net)
	}
	v.raw(key("macaddress"), n.MAC)
	v.raw(key("cableconnected"), onOff(n.Cable))
	kind := n.Type
	if other := shown[kind]; other != "" {
		kind = other
	}
	v.raw(key("nic"), kind)
	v.raw(key("nictype"), n.Model)
	v.raw(key("nicspeed"), "0")
	if n.Type == "nat" {
		v.b.WriteString("mtu=\"0\"\nsockSnd=\"64\"\nsockRcv=\"64\"\ntcpWndSnd=\"64\"\ntcpWndRcv=\"64\"\n")
		for i, f := range n.Forwards {
			v.raw(fmt.Sprintf("Forwarding(%d)", i), f.String())
		}
	}
}
