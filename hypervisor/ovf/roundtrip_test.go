package ovf_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/boxkiln/boxkiln/hypervisor/hardware"
	"github.com/boxkiln/boxkiln/hypervisor/hardware/hardwaretest"
	"github.com/boxkiln/boxkiln/hypervisor/ovf"
)

func flavours() []ovf.Flavour { return []ovf.Flavour{ovf.VirtualBox, ovf.VMware} }

// write returns the descriptor of a machine.
func write(t testing.TB, m hardware.Machine, f ovf.Flavour) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := ovf.Write(&b, m, f); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// lossless takes out of m what Losses tells, field by field.
func lossless(m hardware.Machine, f ovf.Flavour) hardware.Machine {
	m = m.Clone()
	for i := range m.NICs {
		n := &m.NICs[i]
		switch {
		case f == ovf.VirtualBox && (n.Connection == hardware.NAT || n.Connection == hardware.Detached):
			n.Network = ""
		case f == ovf.VMware && n.Connection == hardware.Internal:
			n.Connection, n.Network = hardware.HostOnly, ""
		case f == ovf.VMware && n.Connection == hardware.Detached:
			n.Connection, n.Network, n.Unplugged = hardware.NAT, "", true
		case f == ovf.VMware && n.Connection != hardware.Named:
			n.Network = ""
		}
	}
	if f == ovf.VMware {
		m.Chipset, m.Boot, m.RTCUTC, m.Serial = hardware.PIIX3, nil, false, nil
		m.Controllers = without(m.Controllers, func(c hardware.Controller) bool { return c.Bus == hardware.Floppy && len(c.Drives) == 0 })
		return m
	}
	m.NVRAM, m.SecureBoot, m.CoresPerSocket = "", false, 0
	for i := range m.Controllers {
		for j := range m.Controllers[i].Drives {
			if d := &m.Controllers[i].Drives[j]; d.Kind == hardware.FloppyDrive {
				d.File, d.Size, d.UUID = "", 0, ""
			}
		}
	}
	return m
}

// canonical takes out what a descriptor does not hold and Losses does not count.
func canonical(m hardware.Machine, f ovf.Flavour) hardware.Machine {
	m = m.Clone()
	os := m.Guest.OS()
	if f == ovf.VMware {
		m.Guest, m.UUID = hardware.GuestOfVIM(os.VIM), ""
		if m.Guest == hardware.Other || m.Guest == hardware.Other64 {
			m.Guest = hardware.GuestOfCIM(os.CIM)
		}
	} else {
		m.Guest = hardware.GuestOfVirtualBox(os.VirtualBox)
	}
	for i := range m.Controllers {
		c := &m.Controllers[i]
		if f == ovf.VMware {
			c.Name, c.Ports = "", 0
		} else if n := len(c.Drives); n > 0 && c.Drives[n-1].Port+1 >= c.Ports {
			c.Ports = 0 // none to spare
		}
		for j := range c.Drives {
			d := &c.Drives[j]
			if f == ovf.VMware {
				d.UUID = ""
			} else {
				d.Size = 0
			}
		}
	}
	return m
}

func without(list []hardware.Controller, drop func(hardware.Controller) bool) []hardware.Controller {
	var kept []hardware.Controller
	for _, c := range list {
		if !drop(c) {
			kept = append(kept, c)
		}
	}
	return kept
}

// TestRoundTrip: a machine comes back as it was written, but for what Losses told; without losses nothing is missing.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, f := range flavours() {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			machines := 0
			rapid.Check(t, func(rt *rapid.T) {
				machines++
				roundTrip(rt, hardwaretest.Machine(rt, f), f)
			})
			for seed := 0; machines < 200; seed++ { // rapid makes 100 unless told
				machines++
				m := rapid.Custom(func(rt *rapid.T) hardware.Machine { return hardwaretest.Machine(rt, f) }).Example(seed)
				roundTrip(t, m, f)
			}
		})
	}
}

func roundTrip(t rapid.TB, m hardware.Machine, f ovf.Flavour) {
	less := lossless(m, f)
	if lost := ovf.Losses(less, f); len(lost) > 0 {
		t.Fatalf("a machine without losses has some: %q", lost)
	}
	if same := cmp.Equal(m, less); same != (len(ovf.Losses(m, f)) == 0) {
		t.Fatalf("told losses %q, but the machines differ so: %s", ovf.Losses(m, f), cmp.Diff(m, less))
	}
	for _, written := range []hardware.Machine{m, less} {
		var b bytes.Buffer
		if err := ovf.Write(&b, written, f); err != nil {
			t.Fatal(err)
		}
		d, err := ovf.Read(bytes.NewReader(b.Bytes()))
		if err != nil {
			t.Fatalf("%v\n%s", err, b.Bytes())
		}
		if diff := cmp.Diff(canonical(less, f), d.Machine.Clone()); diff != "" {
			t.Fatalf("(-written +read)\n%s\n%s", diff, b.Bytes())
		}
		if d.Flavour != f || len(d.Remarks) > 0 && f == ovf.VirtualBox {
			t.Fatalf("flavour %s, remarks %q", d.Flavour, d.Remarks)
		}
	}
}

func TestWriteIsDeterministic(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		for _, f := range flavours() {
			m := hardwaretest.Machine(rt, f)
			if a, b := write(t, m, f), write(t, m, f); !bytes.Equal(a, b) {
				rt.Fatalf("the same machine is written in two ways:\n%s\n%s", a, b)
			}
		}
	})
}

func TestWriteRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*hardware.Machine)
		f      ovf.Flavour
		want   string
	}{
		"no uuid":        {func(m *hardware.Machine) { m.UUID = "" }, ovf.VirtualBox, "give the machine a new uuid"},
		"no disk's uuid": {func(m *hardware.Machine) { m.Controllers[0].Drives[0].UUID = "" }, ovf.VirtualBox, "give the medium a new uuid"},
		"no capacity":    {func(m *hardware.Machine) { m.Controllers[0].Drives[0].Capacity = 0 }, ovf.VMware, "capacity is missing"},
		"raw disk":       {func(m *hardware.Machine) { m.Controllers[0].Drives[0].Format = hardware.Raw }, ovf.VMware, "streamOptimized"},
		"pvscsi":         {func(m *hardware.Machine) { m.Controllers[0].Bus = hardware.PVSCSI }, ovf.VirtualBox, "no pvscsi"},
		"flavour":        {func(*hardware.Machine) {}, "xen", "no product"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := golden().Clone()
			c.change(&m)
			err := ovf.Write(&bytes.Buffer{}, m, c.f)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want something with %q", err, c.want)
			}
		})
	}
}

// TestSettingsVersion: VirtualBox 6.1 does not open settings of a later version, so none is named that is not needed.
func TestSettingsVersion(t *testing.T) {
	t.Parallel()
	for bus, want := range map[hardware.Bus]string{hardware.SATA: "1.16-linux", hardware.NVMe: "1.16-linux", hardware.VirtioSCSI: "1.18-linux"} {
		m := golden().Clone()
		m.Controllers[0].Bus = bus
		if text := write(t, m, ovf.VirtualBox); !bytes.Contains(text, []byte(`version="`+want+`"`)) {
			t.Errorf("a machine with %s has not settings of version %s:\n%s", bus, want, text)
		}
	}
}
