package aws

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
)

// Destroy terminates the instance and removes all that was made for it, in the order in which EC2 lets go: instance, volumes,
// security group, key pair.
func (m *Machine) Destroy(ctx context.Context) error {
	m.driver.closeTunnel(m.record.Name)
	found, err := m.findAll(ctx)
	if err != nil {
		return err
	}
	if err := remove(ctx, m.region, found); err != nil {
		return err
	}
	return removeRecord(m.record.Dir)
}

// findAll looks for everything of the machine. What was asked for and not seen yet may come to light later: it asks again until then,
// or until nothing is to be expected any more.
func (m *Machine) findAll(ctx context.Context) (found things, err error) {
	poll := m.region.Poll
	poll.Attempts = 0
	err = poll.Until(ctx, "what was made for "+m.record.Name+" to be found", func(ctx context.Context) (bool, error) {
		if found, err = m.find(ctx); err != nil {
			return false, err
		}
		return !m.expects(found, poll.Grace), nil
	})
	return found, err
}

// expects tells whether something may exist that was not found.
func (m *Machine) expects(found things, grace time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, at := range m.record.Asked {
		if !found.seen(k) && time.Since(at) < grace {
			return true
		}
	}
	return false
}

// remove removes things of ours. It goes on after an error, as far as the order allows.
func remove(ctx context.Context, r *account.Region, found things) error {
	if err := terminate(ctx, r, found.of(kindInstance)); err != nil {
		return err // all else hangs on them
	}
	var errs []error
	for _, k := range []kind{kindVolume, kindGroup, kindKey} {
		for _, t := range found.of(k) {
			errs = append(errs, r.Poll.Settle(ctx, account.IsInUse, func(ctx context.Context) error { return removeOne(ctx, r, t) }))
		}
	}
	return errors.Join(errs...)
}

// removeOne removes what is no instance; nil if it is gone.
func removeOne(ctx context.Context, r *account.Region, t thing) (err error) {
	switch t.kind {
	case kindVolume:
		_, err = r.EC2.DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: &t.id})
	case kindGroup:
		_, err = r.EC2.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: &t.id})
	case kindKey:
		_, err = r.EC2.DeleteKeyPair(ctx, &ec2.DeleteKeyPairInput{KeyName: &t.name})
	}
	if account.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove the %s %s: %w", t.kind, t.id, err)
	}
	return nil
}

// terminate ends instances and waits until they have ended.
func terminate(ctx context.Context, r *account.Region, instances things) error {
	for _, t := range instances {
		err := r.Poll.Settle(ctx, account.IsNotFound, func(ctx context.Context) error { // it was seen, so it is new and not gone
			_, err := r.EC2.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{t.id}})
			return err
		})
		if err != nil && !account.IsNotFound(err) {
			return fmt.Errorf("terminate the instance %s: %w", t.id, err)
		}
	}
	for _, t := range instances {
		if err := untilTerminated(ctx, r, t.id); err != nil {
			return err
		}
	}
	return nil
}

func untilTerminated(ctx context.Context, r *account.Region, id string) error {
	poll := r.Poll
	poll.Attempts = 0
	return poll.Until(ctx, id+" to be terminated", func(ctx context.Context) (bool, error) {
		out, err := r.EC2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{Filters: []types.Filter{account.Filter("instance-id", id)}})
		if err != nil {
			return false, err
		}
		for _, res := range out.Reservations {
			for _, in := range res.Instances {
				if state(in) != types.InstanceStateNameTerminated {
					return false, nil
				}
			}
		}
		return true, nil
	})
}
