package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	nicTypes  = []string{"none", "null", "nat", "bridged", "intnet", "hostonly", "generic", "natnetwork"}
	nicModels = []string{"Am79C970A", "Am79C973", "82540EM", "82543GC", "82545EM", "virtio"}
	macForm   = regexp.MustCompile(`^[0-9A-Fa-f]{12}$`)
)

// modifyNIC changes a network card by an option of modifyvm.
func (c *call) modifyNIC(n *nic, o given, rest *[]string) error {
	switch o.name {
	case "--nic#":
		if !slices.Contains(nicTypes, o.value) && (o.value != "hostonlynet" || !c.profile.seven()) {
			return badArgument("Invalid type '%s' specfied for NIC %d", o.value, o.slot)
		}
		n.Type = o.value
	case "--nictype#":
		i := slices.IndexFunc(nicModels, func(m string) bool { return strings.EqualFold(m, o.value) })
		if i < 0 {
			return badArgument("Invalid NIC type '%s' specified for NIC %d", o.value, o.slot)
		}
		n.Model = nicModels[i]
	case "--cableconnected#":
		on, err := switchOn(o.name, o.value)
		n.Cable = on
		return err
	case "--macaddress#":
		return n.setMAC(o.value)
	case "--bridgeadapter#", "--hostonlyadapter#", "--intnet#", "--nat-network#", "--nicgenericdrv#", "--host-only-net#", "--natnet#":
		n.Net = o.value
		if o.value == "default" && o.name == "--natnet#" {
			n.Net = ""
		}
	case "--natpf#":
		return n.modifyForward(o.value, rest)
	case "--nat-localhostreachable#":
		on, err := switchOn(o.name, o.value)
		n.Reachable = on
		return err
	case "--nicpromisc#":
		n.Promisc = o.value
	case "--nicbootprio#":
		prio, err := number(o.name, o.value)
		n.BootPrio = prio
		return err
	}
	return nil // the rest makes no difference to guests that reach nothing
}

func (n *nic) setMAC(value string) error {
	if value == "auto" {
		n.MAC = newMAC()
		return nil
	}
	if !macForm.MatchString(value) {
		return &comError{code: invalidArg, component: "NetworkAdapterWrap", text: "Invalid MAC address format",
			context: "COMSETTER(MACAddress)(Bstr(ValueUnion.psz).raw())", file: "VBoxManageModifyVM.cpp:1789"}
	}
	if strings.ContainsAny(value[1:2], "13579bdfBDF") {
		return &comError{code: invalidArg, component: "NetworkAdapterWrap", text: "Invalid MAC address format"}
	}
	n.MAC = strings.ToUpper(value)
	return nil
}

// modifyForward takes a rule, or "delete" and then the name of one.
func (n *nic) modifyForward(value string, rest *[]string) error {
	if value == "delete" {
		name, ok := portTaken(rest)
		if !ok {
			return badArgument("Not enough parameters")
		}
		_, err := n.removeForward(name)
		return err
	}
	f, err := parseForward(value)
	if err != nil {
		return err
	}
	return n.addForward(f)
}

func (n *nic) addForward(f forward) error {
	taken := slices.ContainsFunc(n.Forwards, func(x forward) bool { return x.Name == f.Name })
	same := slices.ContainsFunc(n.Forwards, func(x forward) bool {
		return x.Protocol == f.Protocol && x.HostIP == f.HostIP && x.HostPort == f.HostPort
	})
	text := map[bool]string{true: "A NAT rule of this name already exists", false: "A NAT rule for this host port and this host IP already exists"}[taken]
	if taken || same {
		return &comError{code: invalidArg, component: "NATEngineWrap", text: text, file: "VBoxManageModifyVM.cpp:1914",
			context: "AddRedirect(Bstr(strName).raw(), proto, Bstr(strHostIp).raw(), RTStrToUInt16(strHostPort), Bstr(strGuestIp).raw(), RTStrToUInt16(strGuestPort))"}
	}
	n.Forwards = append(n.Forwards, f)
	// VirtualBox keeps the rules in a map by name.
	slices.SortFunc(n.Forwards, func(a, b forward) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

func (n *nic) removeForward(name string) (forward, error) {
	i := slices.IndexFunc(n.Forwards, func(f forward) bool { return f.Name == name })
	if i < 0 {
		return forward{}, &comError{code: invalidArg, context: "RemoveRedirect(Bstr(ValueUnion.psz).raw())", file: "VBoxManageModifyVM.cpp:1936"}
	}
	f := n.Forwards[i]
	n.Forwards = slices.Delete(n.Forwards, i, i+1)
	return f, nil
}

// parseForward reads NAME,tcp|udp,HOST IP,HOST PORT,GUEST IP,GUEST PORT; a rule without a name gets one.
func parseForward(rule string) (forward, error) {
	parts := strings.Split(rule, ",")
	if len(parts) != 6 {
		return forward{}, badArgument("Missing or invalid argument to '--natpf1'")
	}
	f := forward{Name: parts[0], Protocol: strings.ToLower(parts[1]), HostIP: parts[2], GuestIP: parts[4]}
	if f.Protocol != "tcp" && f.Protocol != "udp" {
		return f, badArgument("Invalid proto '%s' specfied for NIC 1", parts[1])
	}
	var err error
	if f.HostPort, err = portNumber(parts[3]); err != nil {
		return f, err
	}
	if f.GuestPort, err = portNumber(parts[5]); err != nil {
		return f, err
	}
	if f.Name == "" {
		f.Name = fmt.Sprintf("%s_%d_%d", f.Protocol, f.HostPort, f.GuestPort)
	}
	return f, nil
}

func portNumber(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 65535 {
		return 0, &comError{code: invalidArg, component: "NATEngineWrap", text: "Invalid port number"}
	}
	return n, nil
}
