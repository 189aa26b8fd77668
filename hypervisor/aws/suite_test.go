package aws

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/hypervisortest"
	"github.com/boxkiln/boxkiln/test/ec2sim/cloud"
)

// TestDriver runs the port's suite against the simulator. Nothing is frozen in a cloud, and there is no keyboard.
func TestDriver(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	var n atomic.Int64
	spec := func(data string) func(t *testing.T) hypervisor.Spec {
		return func(t *testing.T) hypervisor.Spec {
			s := r.spec(t, map[string]any{"user_data": data, "ami_name": fmt.Sprintf("suite-%d", n.Add(1))})
			s.Name = fmt.Sprintf("%s-%d", s.Name, n.Load())
			s.Tag.Build = fmt.Sprintf("%s-%d", s.Tag.Build, n.Load())
			return s
		}
	}
	suite := hypervisortest.Suite{
		New:     func(*testing.T) hypervisor.Driver { return r.driver(install) },
		Foreign: func(*testing.T) hypervisor.Driver { return r.driver(foreign) },
		Ending:  spec("ending"), Lasting: spec("lasting"),
		ForeignTag: func(s hypervisor.Spec) hypervisor.Spec {
			s.Tag.Install = foreign
			return s
		},
		ACPI: true, Parallel: true,
		Crash: func(t *testing.T, m hypervisor.Machine) { r.kill(t, m) },
	}
	t.Run("suite", suite.Run)
	if left := r.left(); left["instances"]+left["volumes"]+left["security groups"]+left["key pairs"] > 0 {
		t.Errorf("left is %v", left)
	}
}

// kill has AWS take an instance away.
func (r *rig) kill(t *testing.T, m hypervisor.Machine) {
	t.Helper()
	machine := m.(*Machine)
	other := r.driver(install)
	acc, err := other.account(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := terminate(t.Context(), acc.In(""), things{{kind: kindInstance, id: machine.record.Instance}}); err != nil {
		t.Fatal(err)
	}
}

var _ cloud.Guests = (*guests)(nil)
