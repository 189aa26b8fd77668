package aws

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
	"github.com/boxkiln/boxkiln/test/ec2sim/cloud"
)

// build does with a machine what a build does and returns its image. What is left of it is removed, whatever came of it.
func (r *rig) build(t *testing.T, d *Driver, spec hypervisor.Spec) (hypervisor.Artifact, error) {
	t.Helper()
	m, err := d.Create(t.Context(), spec)
	h := hypervisor.Handle{Driver: Name, Name: spec.Name, Tag: spec.Tag, Dir: spec.Dir}
	var a hypervisor.Artifact
	if err == nil {
		a, err = finish(t.Context(), m)
	}
	if err != nil {
		if again := d.RemoveImages(t.Context(), h); again != nil {
			t.Errorf("RemoveImages: %v", again)
		}
	}
	switch m, again := d.Open(t.Context(), h); {
	case errors.Is(again, hypervisor.ErrNotFound):
	case again != nil:
		t.Errorf("Open: %v", again)
	default:
		if again := m.Destroy(t.Context()); again != nil {
			t.Errorf("Destroy: %v", again)
		}
	}
	return a, err
}

func finish(ctx context.Context, m hypervisor.Machine) (hypervisor.Artifact, error) {
	if err := m.Start(ctx); err != nil {
		return hypervisor.Artifact{}, err
	}
	if err := m.Shutdown(ctx); err != nil && !errors.Is(err, hypervisor.ErrUnsupported) {
		return hypervisor.Artifact{}, err
	} else if err == nil {
		if err := m.Wait(ctx); err != nil {
			return hypervisor.Artifact{}, err
		}
	}
	return m.Export(ctx, "", hypervisor.ExportOptions{})
}

// TestFaults has all go wrong that can, and looks at what is said and what is left.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault cloud.Fault
		says  []string // nothing for a build that succeeds all the same
	}{
		"throttled":           {cloud.Fault{Action: "*", Code: "RequestLimitExceeded", Count: 10}, nil},
		"no room":             {cloud.Fault{Action: "RunInstances", Code: "InsufficientInstanceCapacity"}, []string{"InsufficientInstanceCapacity", "spot_instance_types"}},
		"quota":               {cloud.Fault{Action: "RunInstances", Code: "VcpuLimitExceeded"}, []string{"VcpuLimitExceeded", "quota"}},
		"dies":                {cloud.Fault{Action: "RunInstances", Code: cloud.InstanceDies}, []string{"did not start", "Internal error on launch"}},
		"expired":             {cloud.Fault{Action: "*", Code: "ExpiredToken", Count: 1}, []string{"ExpiredToken", "new temporary credentials"}},
		"expired on the way":  {cloud.Fault{Action: "RunInstances", Code: "RequestExpired", Count: 1}, []string{"RequestExpired", "clock"}},
		"denied":              {cloud.Fault{Action: "RunInstances", Code: "UnauthorizedOperation"}, []string{"the permission ec2:RunInstances is missing"}},
		"denied to import":    {cloud.Fault{Action: "ImportKeyPair", Code: "UnauthorizedOperation"}, []string{"the permission ec2:ImportKeyPair is missing"}},
		"denied to stop":      {cloud.Fault{Action: "StopInstances", Code: "UnauthorizedOperation"}, []string{"the permission ec2:StopInstances is missing"}},
		"snapshot fails":      {cloud.Fault{Action: "CreateImage", Code: cloud.SnapshotFails}, []string{"snapshot could not be made"}},
		"hidden for long":     {cloud.Fault{Action: "RunInstances", Code: cloud.StaysHidden}, nil},
		"hidden groups":       {cloud.Fault{Action: "CreateSecurityGroup", Code: cloud.StaysHidden}, nil},
		"an error within EC2": {cloud.Fault{Action: "RunInstances", Code: "InternalError", Count: 3}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 1)
			var log bytes.Buffer
			d := New(Options{Install: install, Access: r.access, Log: slog.New(slog.NewTextHandler(&log, nil))})
			r.cloud.Inject(c.fault)
			a, err := r.build(t, d, r.spec(t, nil))
			if len(c.says) == 0 {
				if err != nil || len(a.IDs) != 1 {
					t.Errorf("%+v, %v", a, err)
				}
				if left := r.left(); left["images"] != 1 || left["snapshots"] != 1 || len(left) != 2 {
					t.Errorf("left is %v", left)
				}
				return
			}
			for _, want := range c.says {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v, want %q in it", err, want)
				}
			}
			r.wantNothing(t)
			if err != nil && strings.Contains(err.Error()+log.String(), canary) {
				t.Errorf("credentials are told: %v\n%s", err, log.String())
			}
		})
	}
}

// TestNameTaken refuses before anything is made, replaces when it is told to, and so does -force.
func TestNameTaken(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	d := r.driver(install)
	first, err := r.build(t, d, r.spec(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	again := r.spec(t, nil)
	again.Tag.Attempt = 2
	if _, err := r.build(t, d, again); !errors.Is(err, hypervisor.ErrUnreachable) || !strings.Contains(err.Error(), "force_deregister") || strings.Contains(err.Error(), "reached") || r.cloud.Calls()["RunInstances"] != 1 {
		t.Errorf("a name that is taken: %v, after %d instances", err, r.cloud.Calls()["RunInstances"])
	}
	again = r.spec(t, map[string]any{"force_delete_snapshot": true})
	again.Tag.Attempt, again.Force = 3, true
	second, err := r.build(t, d, again)
	if err != nil || second.IDs[0] == first.IDs[0] {
		t.Errorf("forced: %v, %v", second, err)
	}
	if left := r.left(); left["images"] != 1 || left["snapshots"] != 1 || len(left) != 2 {
		t.Errorf("left is %v", left)
	}
}

// TestWrongRegion is told before anything is made.
func TestWrongRegion(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	r.access.Region = "us-esat-1"
	_, err := r.driver(install).Create(t.Context(), r.spec(t, nil))
	if !errors.Is(err, hypervisor.ErrUnreachable) || !strings.Contains(err.Error(), "region") {
		t.Errorf("%v", err)
	}
	r.wantNothing(t)
}

// TestSpotTypes tries one type after the other, and makes the image of an instance that cannot be stopped.
func TestSpotTypes(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.cloud.Inject(cloud.Fault{Action: "RunInstances", Code: "InsufficientInstanceCapacity", Count: 1})
	spec := r.spec(t, map[string]any{"instance_type": "", "spot_instance_types": []string{"m5.large", "m5a.large"}, "spot_price": "auto"})
	a, err := r.build(t, r.driver(install), spec)
	if err != nil || len(a.IDs) != 1 || r.cloud.Calls()["RunInstances"] != 2 || r.cloud.Calls()["StopInstances"] != 0 {
		t.Errorf("%v, %v, %v", a, err, r.cloud.Calls())
	}
}

// TestDyingInstance ends a wait with AWS's reason.
func TestDyingInstance(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	d := r.driver(install)
	m, err := d.Create(t.Context(), r.spec(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.kill(t, m)
	if err := m.Wait(t.Context()); !errors.Is(err, hypervisor.ErrCrashed) || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("Wait = %v", err)
	}
	if err := m.Destroy(t.Context()); err != nil {
		t.Error(err)
	}
	r.wantNothing(t)
}

// TestSkipCreateAMI makes no image.
func TestSkipCreateAMI(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	a, err := r.build(t, r.driver(install), r.spec(t, map[string]any{"skip_create_ami": true}))
	if err != nil || len(a.IDs) != 0 {
		t.Errorf("%v, %v", a, err)
	}
	r.wantNothing(t)
}

// TestForeignKeyPair leaves a key pair of the same name alone.
func TestForeignKeyPair(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	mine, other := r.spec(t, nil), r.spec(t, nil)
	other.Tag.Build = "another"
	if _, err := r.driver(install).Create(t.Context(), mine); err != nil {
		t.Fatal(err)
	}
	if _, err := r.build(t, r.driver(install), other); !errors.Is(err, hypervisor.ErrForeign) {
		t.Errorf("%v", err)
	}
	if left := r.left(); left["key pairs"] != 1 || left["security groups"] != 1 {
		t.Errorf("left is %v", left)
	}
}

// TestOpenOnlyToThisHost looks at the rule of the temporary group, and at an address of each kind.
func TestOpenOnlyToThisHost(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	d := r.driver(install)
	for name, c := range map[string]struct {
		args map[string]any
		want []string
	}{
		"own":             {nil, []string{"127.0.0.1/32"}},
		"given":           {map[string]any{"temporary_security_group_source_cidrs": []string{"192.0.2.0/24"}}, []string{"192.0.2.0/24"}},
		"nobody connects": {map[string]any{"communicator": "none"}, nil},
		"session manager": {map[string]any{"ssh_interface": "session_manager", "iam_instance_profile": "p"}, nil},
		"bastion":         {map[string]any{"ssh_bastion_host": "192.0.2.7"}, []string{"192.0.2.7/32"}},
	} {
		set, err := decodeSettings(r.spec(t, c.args).Options)
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.sources(t.Context(), "", set)
		if err != nil || strings.Join(got, " ") != strings.Join(c.want, " ") {
			t.Errorf("%s: %v, %v; want %v", name, got, err, c.want)
		}
	}
}

// TestPlaceRoundTrip: what a handle carries comes back, and a secret in it is written as it is.
func TestPlaceRoundTrip(t *testing.T) {
	t.Parallel()
	a := account.Access{Region: region, Keys: account.NewKeys("id", "se/cr+et<&>", "to=ken", "123456")}
	uri, err := formatPlace(a, []string{"eu-west-1"})
	if err != nil || !strings.Contains(uri, "se/cr+et<&>") {
		t.Fatalf("%q, %v: a secret must be found in it to be sealed", uri, err)
	}
	p, err := parsePlace(uri)
	if err != nil || p.Keys != a.Keys || p.Region != region || p.Regions[0] != "eu-west-1" {
		t.Errorf("%v, %v", p.Access, err)
	}
	if _, err := parsePlace(`{"secret": "canary"`); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("%v", err)
	}
}
