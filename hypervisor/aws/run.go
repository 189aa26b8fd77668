package aws

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
)

// Start runs the instance, or starts it again, and returns when it runs.
func (m *Machine) Start(ctx context.Context) error {
	in, err := m.instance(ctx)
	if err != nil {
		return err
	}
	switch state(in) {
	case types.InstanceStateNameRunning:
		return nil
	case types.InstanceStateNameStopping, types.InstanceStateNameStopped:
		return m.startAgain(ctx)
	case types.InstanceStateNamePending:
		return m.untilRunning(ctx)
	}
	return m.ask(ctx, kindInstance, func(ctx context.Context) error {
		id, err := m.runSomewhere(ctx)
		if err != nil {
			return err
		}
		m.mu.Lock()
		m.record.Instance = id
		m.record.Runs++
		err = m.record.save()
		m.mu.Unlock()
		if err != nil {
			return err
		}
		return m.untilRunning(ctx)
	})
}

// startAgain starts an instance that was stopped.
func (m *Machine) startAgain(ctx context.Context) error {
	if err := m.Wait(ctx); err != nil {
		return err
	}
	if _, err := m.region.EC2.StartInstances(ctx, &ec2.StartInstancesInput{InstanceIds: []string{m.record.Instance}}); err != nil {
		return err
	}
	return m.untilRunning(ctx)
}

// runSomewhere runs the instance as the first of its types for which there is room, in the first subnet that has it.
func (m *Machine) runSomewhere(ctx context.Context) (id string, err error) {
	subnets := m.record.Subnets
	if len(subnets) == 0 {
		subnets = []string{""}
	}
	var full []error
	for _, typ := range m.record.Settings.types() {
		for _, subnet := range subnets {
			id, err := m.run(ctx, typ, subnet)
			if !account.IsCapacity(err) {
				return id, err
			}
			m.driver.log.Warn("no room for an instance", "machine", m.record.Name, "type", typ, "subnet", subnet, "err", err)
			full = append(full, err)
		}
	}
	return "", errors.Join(full...)
}

// run asks for one instance. Asked again it answers with the same.
func (m *Machine) run(ctx context.Context, typ, subnet string) (id string, err error) {
	in := m.request(typ, subnet)
	in.ClientToken = account.Optional(account.Token(m.record.Tag, fmt.Sprintf("%s %s %s %d", m.record.Name, typ, subnet, m.record.Runs)))
	var out *ec2.RunInstancesOutput
	err = m.region.Poll.Settle(ctx, m.tooNew, func(ctx context.Context) error {
		out, err = m.region.EC2.RunInstances(ctx, in)
		return err
	})
	if err != nil {
		return "", err
	}
	if len(out.Instances) != 1 {
		return "", fmt.Errorf("ec2:RunInstances made %d instances instead of one", len(out.Instances))
	}
	return aws.ToString(out.Instances[0].InstanceId), nil
}

// tooNew tells that EC2 does not know yet what was made for the instance.
func (m *Machine) tooNew(err error) bool {
	switch account.Code(err) {
	case "InvalidGroup.NotFound":
		return len(m.record.Settings.Groups.IDs) == 0 && m.record.Settings.Groups.ID == ""
	case "InvalidKeyPair.NotFound":
		return m.record.Settings.KeyName == ""
	}
	return false
}

// request is the instance as EC2 wants it.
func (m *Machine) request(typ, subnet string) *ec2.RunInstancesInput {
	set := m.record.Settings
	one := int32(1)
	in := &ec2.RunInstancesInput{
		ImageId: &m.record.Source.ID, InstanceType: types.InstanceType(typ), MinCount: &one, MaxCount: &one,
		KeyName: account.Optional(m.record.Key), UserData: account.Optional(m.record.UserData), BlockDeviceMappings: mappings(set.Disks.Launch),
		InstanceInitiatedShutdownBehavior: types.ShutdownBehavior(cmp.Or(set.Instance.ShutdownBehavior, "stop")),
		EbsOptimized:                      account.Optional(set.Performance.EBSOptimized),
		TagSpecifications: []types.TagSpecification{m.tags(types.ResourceTypeInstance, set.runTags()),
			m.tags(types.ResourceTypeVolume, set.VolumeTags.Tags)},
	}
	if p := set.Instance.Profile; p != "" {
		in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: &p}
	}
	if d := set.Instance.Metadata; d != nil {
		in.MetadataOptions = &types.InstanceMetadataOptionsRequest{HttpEndpoint: types.InstanceMetadataEndpointState(d.Endpoint), HttpTokens: types.HttpTokensState(d.Tokens),
			HttpPutResponseHopLimit: account.Optional(d.HopLimit), InstanceMetadataTags: types.InstanceMetadataTagsState(d.InstanceTags)}
	}
	m.connectTo(in, subnet)
	placeIt(in, set)
	if set.spot() {
		in.TagSpecifications = append(in.TagSpecifications, m.tags(types.ResourceTypeSpotInstancesRequest, set.Spot.Tags))
		in.InstanceMarketOptions = &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot, SpotOptions: spotOptions(set.Spot)}
		in.InstanceInitiatedShutdownBehavior = "" // EC2 knows only one for them
	}
	return in
}

// connectTo puts the instance into a subnet and its groups. An address can only be asked for with a network interface.
func (m *Machine) connectTo(in *ec2.RunInstancesInput, subnet string) {
	if !m.record.Settings.Instance.AssociatePublicIP {
		in.SubnetId, in.SecurityGroupIds = account.Optional(subnet), m.record.Groups
		return
	}
	first := int32(0)
	in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{DeviceIndex: &first, SubnetId: account.Optional(subnet), Groups: m.record.Groups,
		AssociatePublicIpAddress: account.Optional(true), DeleteOnTermination: account.Optional(true)}}
}

func spotOptions(s SpotArgs) *types.SpotMarketOptions {
	o := &types.SpotMarketOptions{SpotInstanceType: types.SpotInstanceTypeOneTime, InstanceInterruptionBehavior: types.InstanceInterruptionBehaviorTerminate,
		BlockDurationMinutes: account.Optional(int32(s.BlockMinutes))}
	if s.Price != "auto" && s.Price != "0" {
		o.MaxPrice = account.Optional(s.Price)
	}
	return o
}

// placeIt says where the instance runs, and on what terms.
func placeIt(in *ec2.RunInstancesInput, set settings) {
	p := set.Performance
	placement := types.Placement{AvailabilityZone: account.Optional(set.Instance.AvailabilityZone), Tenancy: types.Tenancy(p.Tenancy)}
	if own := p.Placement; own != nil {
		placement.HostId, placement.HostResourceGroupArn = account.Optional(own.HostID), account.Optional(own.HostResourceGroupARN)
		placement.Tenancy = types.Tenancy(cmp.Or(own.Tenancy, p.Tenancy))
	}
	if placement != (types.Placement{}) {
		in.Placement = &placement
	}
	if p.UnlimitedCredits || p.T2Unlimited {
		in.CreditSpecification = &types.CreditSpecificationRequest{CpuCredits: account.Optional("unlimited")}
	}
	if p.NitroEnclave {
		in.EnclaveOptions = &types.EnclaveOptionsRequest{Enabled: account.Optional(true)}
	}
	if p.ReservationPref != "" || p.ReservationID != "" || p.ReservationGroupARN != "" {
		in.CapacityReservationSpecification = &types.CapacityReservationSpecification{CapacityReservationPreference: types.CapacityReservationPreference(p.ReservationPref)}
		if p.ReservationID != "" || p.ReservationGroupARN != "" {
			in.CapacityReservationSpecification.CapacityReservationTarget = &types.CapacityReservationTarget{
				CapacityReservationId: account.Optional(p.ReservationID), CapacityReservationResourceGroupArn: account.Optional(p.ReservationGroupARN)}
		}
	}
	for _, l := range p.LicenseSpecification {
		if l.Configuration != nil {
			in.LicenseSpecifications = append(in.LicenseSpecifications, types.LicenseConfigurationRequest{LicenseConfigurationArn: &l.Configuration.ARN})
		}
	}
}

// untilRunning waits for the instance to run. One that EC2 takes back says why.
func (m *Machine) untilRunning(ctx context.Context) error {
	id := m.record.Instance
	return m.region.Poll.UntilSeen(ctx, id+" to run", func(ctx context.Context) (bool, error) {
		in, err := m.describe(ctx, id)
		if err != nil {
			return false, err
		}
		switch s := state(in); {
		case s == types.InstanceStateNameRunning, s == types.InstanceStateNameStopped && !byEC2(in): // it has ended already
			return true, nil
		case s == types.InstanceStateNameShuttingDown, s == types.InstanceStateNameTerminated, s == types.InstanceStateNameStopped:
			return false, fmt.Errorf("instance %s did not start: %s: %w", id, reason(in), hypervisor.ErrCrashed)
		}
		return false, nil
	})
}
