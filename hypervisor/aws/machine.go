package aws

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
)

// Machine is an instance of EC2, before, while and after it exists.
type Machine struct {
	driver *Driver
	uri    string
	region *account.Region
	in     func(region string) *account.Region

	mu     sync.Mutex // held while record changes
	record record
	// host is the guest's address as it was seen at a time.
	host   string
	seenAt time.Time
}

var _ hypervisor.Machine = (*Machine)(nil)

// Handle implements hypervisor.Machine.
func (m *Machine) Handle() hypervisor.Handle {
	r := m.record
	return hypervisor.Handle{Driver: Name, Name: r.Name, URI: m.uri, Tag: r.Tag, Dir: r.Dir}
}

// Note tells what the template left open.
func (m *Machine) Note() string {
	r := m.record
	if r.Instance == "" {
		return fmt.Sprintf("Source image: %s (%s)", r.Source.ID, r.Source.Name)
	}
	return fmt.Sprintf("Instance %s in %s, from the image %s (%s)", r.Instance, r.Region, r.Source.ID, r.Source.Name)
}

// find looks for what was made for this machine.
func (m *Machine) find(ctx context.Context) (things, error) {
	return find(ctx, m.region, m.record.Tag, m.record.Name)
}

// findKind looks for what of a kind was made for this machine.
func (m *Machine) findKind(ctx context.Context, k kind) (things, error) {
	return findKind(ctx, m.region, m.record.Tag, m.record.Name, k)
}

// describe asks for an instance by its id.
func (m *Machine) describe(ctx context.Context, id string) (types.Instance, error) {
	out, err := m.region.EC2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	if err != nil {
		return types.Instance{}, err
	}
	for _, r := range out.Reservations {
		for _, i := range r.Instances {
			return i, nil
		}
	}
	return types.Instance{}, nil
}

// instance is the machine's instance, or a zero one if there is none. A terminated one is forgotten by EC2 after an hour.
func (m *Machine) instance(ctx context.Context) (types.Instance, error) {
	m.mu.Lock()
	id := m.record.Instance
	m.mu.Unlock()
	if id == "" {
		found, err := m.findKind(ctx, kindInstance)
		if live := found.of(kindInstance); err == nil && len(live) > 0 {
			id = live[0].id
			m.mu.Lock()
			m.record.Instance = id
			m.mu.Unlock()
		}
		if id == "" {
			return types.Instance{}, err
		}
	}
	in, err := m.describe(ctx, id)
	if account.IsNotFound(err) {
		return types.Instance{}, nil
	}
	return in, err
}

// state is an instance's own word for what it does; empty for none.
func state(in types.Instance) types.InstanceStateName {
	if in.State == nil {
		return ""
	}
	return in.State.Name
}

// reason is what EC2 says about the end of an instance.
func reason(in types.Instance) string {
	if r := in.StateReason; r != nil && aws.ToString(r.Message) != "" {
		return aws.ToString(r.Message)
	}
	if text := aws.ToString(in.StateTransitionReason); text != "" {
		return text
	}
	return "EC2 gives no reason"
}

// byEC2 tells that an instance was ended by EC2 itself: its host broke, or it was a spot instance whose time was over. Codes begin
// with Server then, and with Client when the guest or the user did it.
func byEC2(in types.Instance) bool {
	return in.StateReason != nil && strings.HasPrefix(aws.ToString(in.StateReason.Code), "Server.")
}

// State implements hypervisor.Machine.
func (m *Machine) State(ctx context.Context) (hypervisor.State, error) {
	if _, found, err := readRecord(m.record.Dir); err != nil || !found {
		return hypervisor.Absent, err
	}
	in, err := m.instance(ctx)
	if err != nil {
		return "", err
	}
	switch state(in) {
	case "":
		return hypervisor.Off, nil
	case types.InstanceStateNameTerminated, types.InstanceStateNameShuttingDown:
		return hypervisor.Crashed, nil
	case types.InstanceStateNameStopped:
		if byEC2(in) {
			return hypervisor.Crashed, nil
		}
		return hypervisor.Off, nil
	}
	return hypervisor.Running, nil
}

// Wait looks at the instance until it has stopped.
func (m *Machine) Wait(ctx context.Context) error {
	poll := m.region.Poll
	poll.Attempts = 0 // a build may take any time
	var ended error
	err := poll.UntilSeen(ctx, m.record.Name+" to stop", func(ctx context.Context) (bool, error) {
		in, err := m.instance(ctx)
		if err != nil {
			return false, err
		}
		switch s := state(in); {
		case s == "" && m.known():
			ended = fmt.Errorf("instance %s was removed: %w", m.record.Instance, hypervisor.ErrCrashed)
		case s == types.InstanceStateNameTerminated, s == types.InstanceStateNameShuttingDown, s == types.InstanceStateNameStopped && byEC2(in):
			ended = fmt.Errorf("instance %s has ended: %s: %w", aws.ToString(in.InstanceId), reason(in), hypervisor.ErrCrashed)
		case s != types.InstanceStateNameStopped && s != "":
			return false, nil
		}
		return true, nil
	})
	return errors.Join(err, ended)
}

// known tells whether an instance was run.
func (m *Machine) known() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.record.Instance != ""
}

// Shutdown has EC2 stop the instance, which presses the power button of the guest first. A spot instance cannot be stopped.
func (m *Machine) Shutdown(ctx context.Context) error {
	if m.record.Settings.spot() {
		return fmt.Errorf("a spot instance cannot be stopped: %w", hypervisor.ErrUnsupported)
	}
	m.mu.Lock()
	m.host = "" // another one when it starts again
	m.mu.Unlock()
	_, err := m.region.EC2.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{m.record.Instance}})
	if account.Code(err) == "IncorrectInstanceState" {
		return nil // it was faster
	}
	return err
}

// addressAge is how long an address is believed: whoever waits for SSH asks once a second, and AWS counts the questions of a whole
// account.
const addressAge = 20 * time.Second

// Guest tells the guest's address of the kind that the template wants.
func (m *Machine) Guest(ctx context.Context, port int) (hypervisor.Endpoint, error) {
	m.mu.Lock()
	host, fresh := m.host, time.Since(m.seenAt) < addressAge
	m.mu.Unlock()
	if host != "" && fresh {
		return hypervisor.Endpoint{Host: host, Port: port}, nil
	}
	in, err := m.instance(ctx)
	if err != nil {
		return hypervisor.Endpoint{}, err
	}
	if state(in) != types.InstanceStateNameRunning {
		return hypervisor.Endpoint{}, fmt.Errorf("the instance is not running: %w", hypervisor.ErrNoAddress)
	}
	if m.record.Settings.Connect.Interface == sessionManager {
		return m.tunnel(ctx, port)
	}
	host = addressOf(in, m.record.Settings.Connect.Interface)
	if host == "" {
		return hypervisor.Endpoint{}, hypervisor.ErrNoAddress
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.host, m.seenAt = host, time.Now()
	return hypervisor.Endpoint{Host: host, Port: port}, nil
}

// addressOf is the address of a kind; without one the public address, or else the private one, as in Packer.
func addressOf(in types.Instance, wanted string) string {
	public, private := aws.ToString(in.PublicIpAddress), aws.ToString(in.PrivateIpAddress)
	switch wanted {
	case publicIP:
		return public
	case privateIP:
		return private
	case publicDNS:
		return aws.ToString(in.PublicDnsName)
	case privateDNS:
		return aws.ToString(in.PrivateDnsName)
	}
	if public != "" {
		return public
	}
	return private
}
