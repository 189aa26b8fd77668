package aws

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
	"github.com/boxkiln/boxkiln/hypervisor/aws/ami"
)

// Export makes the images of a machine that is off, or of a spot instance that runs, which EC2 reboots for it. No file is written.
func (m *Machine) Export(ctx context.Context, _ string, o hypervisor.ExportOptions) (hypervisor.Artifact, error) {
	a := hypervisor.Artifact{Driver: Name, Arch: m.record.Source.Arch, UEFI: m.record.Source.UEFI}
	in, err := m.instance(ctx)
	if err != nil {
		return a, err
	}
	stopped := state(in) == types.InstanceStateNameStopped
	if !stopped && !(m.record.Settings.spot() && state(in) == types.InstanceStateNameRunning) {
		return a, fmt.Errorf("instance %s is %q: an image is made of one that is stopped", m.record.Instance, state(in))
	}
	tell := teller(o)
	if m.record.Settings.EBS.SkipCreateAMI {
		tell(ami.Event{Text: "No image is made: skip_create_ami is set", Percent: ami.NoPercent})
		return a, nil
	}
	if err := m.modify(ctx, stopped); err != nil {
		return a, err
	}
	w, err := m.wanted()
	if err != nil {
		return a, err
	}
	maker := m.maker(tell)
	images, err := maker.FromInstance(ctx, ami.Instance{ID: m.record.Instance, Stopped: stopped}, w)
	if err != nil {
		return a, err
	}
	for _, im := range images {
		a.IDs = append(a.IDs, hypervisor.RemoteID{Region: im.Region, ID: im.ID})
	}
	return a, maker.HandOver(ctx, images)
}

// modify says what the guest's drivers can do, which its image inherits.
func (m *Machine) modify(ctx context.Context, stopped bool) error {
	h := m.record.Settings.Hardware
	for _, one := range []struct {
		wanted bool
		arg    string
		in     ec2.ModifyInstanceAttributeInput
	}{
		{h.ENASupport, "ena_support", ec2.ModifyInstanceAttributeInput{EnaSupport: &types.AttributeBooleanValue{Value: account.Optional(true)}}},
		{h.SRIOVSupport, "sriov_support", ec2.ModifyInstanceAttributeInput{SriovNetSupport: &types.AttributeValue{Value: account.Optional("simple")}}},
	} {
		if !one.wanted {
			continue
		}
		if !stopped {
			return fmt.Errorf("%s can only be set on an instance that is stopped, and a spot instance cannot be", one.arg)
		}
		one.in.InstanceId = &m.record.Instance
		if _, err := m.region.EC2.ModifyInstanceAttribute(ctx, &one.in); err != nil {
			return fmt.Errorf("%s: %w", one.arg, err)
		}
	}
	return nil
}

// teller writes the events of images as lines. Regions tell theirs at once.
func teller(o hypervisor.ExportOptions) func(ami.Event) {
	var mu sync.Mutex
	told := map[string]string{}
	return func(e ami.Event) {
		mu.Lock()
		defer mu.Unlock()
		line := e.Text
		if e.Region != "" {
			line = e.Region + ": " + line
		}
		if o.Log != nil && told[e.Region] != line { // a wait tells the same text with other figures
			told[e.Region] = line
			_, _ = io.WriteString(o.Log, line+"\n") // a log that cannot be written is no reason to make no image
		}
		if o.Progress != nil && e.Percent != ami.NoPercent {
			o.Progress(int64(e.Percent), 100)
		}
	}
}
