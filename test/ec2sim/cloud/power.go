package cloud

import (
	"context"
	"time"
)

// change is an instance in the answer to a call that changes its state.
type change struct {
	ID       string        `xml:"instanceId"`
	Current  instanceState `xml:"currentState"`
	Previous instanceState `xml:"previousState"`
}

type changes struct {
	Instances []change `xml:"instancesSet>item"`
}

// named are the instances that a call names.
func (c *call) named() ([]*instance, error) {
	var all []*instance
	for _, id := range c.list("InstanceId") {
		in, found := c.region.instances[id]
		if !found || !in.asked() {
			return nil, missingInstance(id)
		}
		all = append(all, in)
	}
	if len(all) == 0 {
		return nil, problem("MissingParameter", "The request must contain the parameter InstanceId")
	}
	return all, nil
}

// turnEach has every instance that a call names go over to another state, and tells what they were before.
func (c *call) turnEach(turn func(in *instance) error) (any, error) {
	all, err := c.named()
	if err != nil {
		return nil, err
	}
	var out changes
	for _, in := range all {
		was := in.state
		if err := turn(in); err != nil {
			return nil, err
		}
		out.Instances = append(out.Instances, change{in.id, in.state, was})
	}
	return out, nil
}

func stopInstances(c *call) (any, error) {
	return c.turnEach(func(in *instance) error {
		switch in.state {
		case running, pending:
			in.state = stopping
			c.halt(in, func(ctx context.Context, g Guests) error { return g.Stop(ctx, in.id) }, func() {
				if in.state == stopping { // and not ended by somebody meanwhile
					in.state = stopped
				}
			})
		case stopped, stopping:
		default:
			return problem("IncorrectInstanceState", "This instance '%s' is not in a state from which it can be stopped.", in.id)
		}
		return nil
	})
}

func startInstances(c *call) (any, error) {
	r, cloud := c.region, c.Cloud
	return c.turnEach(func(in *instance) error {
		if in.state != stopped {
			return problem("IncorrectInstanceState", "The instance '%s' is not in a state from which it can be started.", in.id)
		}
		in.state, in.reason = pending, ""
		g := c.guest(r, in)
		g.Key, g.UserData = "", nil // it has them
		cloud.do(func(ctx context.Context) error { return cloud.startGuest(ctx, g) }, func(err error) { cloud.booted(r, in, err) })
		return nil
	})
}

func terminateInstances(c *call) (any, error) {
	r, cloud := c.region, c.Cloud
	return c.turnEach(func(in *instance) error {
		if in.state != terminated && in.state != shuttingDown {
			in.state = shuttingDown
			c.halt(in, func(ctx context.Context, g Guests) error { return g.Kill(ctx, in.id) },
				func() { cloud.end(r, in, "Client.UserInitiatedShutdown: User initiated shutdown") })
		}
		return nil
	})
}

// halt has a machine end and tells when it has.
func (c *Cloud) halt(in *instance, how func(context.Context, Guests) error, ended func()) {
	guests, pace := c.cfg.Guests, c.cfg.Pace
	c.do(func(ctx context.Context) error {
		if guests != nil {
			return how(ctx, guests)
		}
		select {
		case <-time.After(pace):
		case <-ctx.Done():
		}
		return nil
	}, func(err error) {
		if err != nil {
			c.cfg.Log.Error("end an instance", "id", in.id, "err", err)
		}
		ended()
	})
}

// Interrupt ends an instance by the cloud's own doing, as a failed host does or somebody who bids more for a spot instance.
func (c *Cloud) Interrupt(id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.regions {
		if in := r.instances[id]; in != nil && in.state.alive() {
			reason := "Server.InternalError: Internal error"
			if in.spot != "" {
				reason = "Server.SpotInstanceTermination: Spot instance termination"
			}
			c.abandon(r, in, reason)
			return nil
		}
	}
	return missingInstance(id)
}

// abandon ends an instance that nobody asked to end. c.mu is held.
func (c *Cloud) abandon(r *region, in *instance, reason string) {
	in.state = shuttingDown
	c.halt(in, func(ctx context.Context, g Guests) error { return g.Kill(ctx, in.id) }, func() { c.end(r, in, reason) })
}

// follow notices when a guest powers itself off: its instance is stopped then. c.mu is held.
func (c *Cloud) follow(r *region, in *instance) {
	if c.cfg.Guests == nil {
		return
	}
	c.do(func(ctx context.Context) error { return c.cfg.Guests.Wait(ctx, in.id) }, func(err error) {
		const reason = "Client.InstanceInitiatedShutdown: Instance initiated shutdown"
		switch {
		case err != nil || in.state != running:
		case in.terminates:
			c.end(r, in, reason)
		default:
			in.state, in.reason = stopped, reason
		}
	})
}

// end makes an instance terminated, with its volumes. c.mu is held.
func (c *Cloud) end(r *region, in *instance, reason string) {
	in.state, in.reason, in.ended = terminated, reason, time.Now()
	for _, id := range in.volumes {
		v := r.volumes[id]
		if v == nil {
			continue
		}
		v.instance = ""
		if v.autoDelete {
			c.dropVolume(r, v)
		}
	}
	in.volumes = nil
	if sir := r.spots[in.spot]; sir != nil {
		sir.over(reason)
	}
}
