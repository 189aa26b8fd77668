// Package cloud simulates Amazon EC2, EBS direct and as much of STS as clients ask for, well enough that Debian's Packer and awscli
// build images on it, with real guests under QEMU.
//
// A [Cloud] is an http.Handler for all services; which one is meant, and in which region, says the scope of a request's signature,
// whose presence and form are checked and whose value is not. As the real service, it is only eventually consistent: an object that
// was just made is not found the first times that somebody asks for it, and states take their time. What it cannot do is refused
// by name (InvalidAction), never ignored.
//
// Known infidelities: prices, quotas, IAM policies and VPC routing do not exist; every instance has an address of this host's
// loopback network, 127.9.x.y, on which its port 22 answers. The key of an instance is not fetched by cloud-init from a metadata
// service but written into its file system before it boots (see [QEMU]). ImportImage takes no look at the guest.
//
// Sources: EC2 API reference 2016-11-15; the EBS direct APIs reference; error texts as in moto's ec2/exceptions.py.
package cloud

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"
)

// Account is the account that owns everything.
const Account = "123456789012"

// Config says how a cloud behaves. The zero value of each field but Dir is usable.
type Config struct {
	Dir     string        // for disks and machines; must exist
	Guests  Guests        // what runs the instances; nil for none: they run in name only
	Latency time.Duration // of every answer
	// Hidden is how many times a new object is not found when it is asked for by its id: -1 for never. Default 1.
	Hidden int
	// Pace is how long states take that nobody computes for, such as pending images. Default 100 ms.
	Pace time.Duration
	Log  *slog.Logger
}

// Cloud is the simulator.
type Cloud struct {
	cfg    Config
	ctx    context.Context // of guests and copies; ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu      sync.Mutex
	regions map[string]*region
	faults  []*Fault
	calls   map[string]int
	serial  int
	objects Objects
	address int
}

// New makes an empty cloud, with a default VPC in every region.
func New(cfg Config) *Cloud {
	if cfg.Hidden == 0 {
		cfg.Hidden = 1
	}
	if cfg.Pace == 0 {
		cfg.Pace = 100 * time.Millisecond
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Cloud{cfg: cfg, ctx: ctx, cancel: cancel, regions: map[string]*region{}, calls: map[string]int{}}
}

// Close ends all guests and waits for what is being copied.
func (c *Cloud) Close() error {
	c.cancel()
	c.work.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs error
	for _, r := range c.regions {
		for _, in := range r.instances {
			if c.cfg.Guests != nil && in.state.alive() {
				errs = errors.Join(errs, c.cfg.Guests.Kill(context.Background(), in.id))
			}
		}
	}
	return errs
}

// scope is the part of a signature that says what a request is for.
type scope struct{ key, region, service string }

var credential = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=([^/]+)/\d{8}/([a-z0-9-]+)/([a-z0-9]+)/aws4_request, ?SignedHeaders=[^,]+, ?Signature=[0-9a-f]{64}$`)

// ServeHTTP answers a request of any service.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c.cfg.Latency > 0 {
		select {
		case <-time.After(c.cfg.Latency):
		case <-r.Context().Done():
			return
		}
	}
	m := credential.FindStringSubmatch(r.Header.Get("Authorization"))
	if m == nil {
		fail(w, &Error{Status: 401, Code: "AuthFailure", Message: "AWS was not able to validate the provided access credentials"})
		return
	}
	s := scope{m[1], m[2], m[3]}
	switch s.service {
	case "ec2":
		c.query(w, r, s, "http://ec2.amazonaws.com/doc/2016-11-15/", ec2Actions)
	case "sts":
		c.query(w, r, s, "https://sts.amazonaws.com/doc/2011-06-15/", stsActions)
	case "ebs":
		c.direct(w, r, s)
	default:
		fail(w, &Error{Status: 400, Code: "InvalidAction", Message: "no service " + s.service + " is simulated here"})
	}
}

// known are the regions that there are.
var known = []string{"us-east-1", "us-east-2", "us-west-2", "eu-central-1", "eu-west-1"}

// region is all that lives in one region.
type region struct {
	name      string
	images    map[string]*image
	instances map[string]*instance
	volumes   map[string]*volume
	snapshots map[string]*snapshot
	groups    map[string]*group
	keys      map[string]*keyPair // by name
	tasks     map[string]*task
	tokens    map[string]token // of RunInstances and StartSnapshot
}

// token is what a request with a ClientToken made.
type token struct{ request, made string }

// region returns one that exists; c.mu is held.
func (c *Cloud) region(name string) *region {
	r, ok := c.regions[name]
	if !ok {
		r = &region{name: name, images: map[string]*image{}, instances: map[string]*instance{}, volumes: map[string]*volume{},
			snapshots: map[string]*snapshot{}, groups: map[string]*group{}, keys: map[string]*keyPair{}, tasks: map[string]*task{}, tokens: map[string]token{}}
		c.regions[name] = r
		c.addNetwork(r)
	}
	return r
}

// id makes an id as the service does: a prefix and 17 hex digits.
func (c *Cloud) id(prefix string) string {
	c.serial++
	return fmt.Sprintf("%s-0%016x", prefix, uint64(c.serial)*0x9e3779b97f4a7c15)
}

// object is what everything has that can be asked for by an id.
type object struct {
	id     string
	born   time.Time
	hidden int // how many times it is still not found
	ready  time.Time
	tags   tags
}

func (c *Cloud) object(prefix string) object {
	now := time.Now()
	return object{id: c.id(prefix), born: now, hidden: max(c.cfg.Hidden, 0), ready: now.Add(c.cfg.Pace), tags: tags{}}
}

// asked tells whether somebody who asks for the object by its id finds it.
func (o *object) asked() bool {
	if o.hidden > 0 {
		o.hidden--
		return false
	}
	return true
}

func (o *object) settled() bool { return time.Now().After(o.ready) }

// path is a file of the cloud.
func (c *Cloud) path(name string) string { return filepath.Join(c.cfg.Dir, name) }

// do runs something that takes long, outside of the lock, and then settles its result under it.
func (c *Cloud) do(long func(ctx context.Context) error, settle func(error)) {
	c.work.Go(func() {
		err := long(c.ctx)
		c.mu.Lock()
		defer c.mu.Unlock()
		settle(err)
	})
}

// Count tells how many objects there are that cost money or are in somebody's way, by kind.
func (c *Cloud) Count() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := map[string]int{}
	for _, r := range c.regions {
		for _, in := range r.instances {
			if in.state != terminated {
				n["instances"]++
			}
		}
		n["images"] += len(r.images)
		n["volumes"] += len(r.volumes)
		n["snapshots"] += len(r.snapshots)
		n["key pairs"] += len(r.keys)
		n["security groups"] += len(r.groups) - 1 // the VPC's own
	}
	for kind, count := range n {
		if count == 0 {
			delete(n, kind)
		}
	}
	return n
}

// Calls tells how often each action was called, whatever came of it.
func (c *Cloud) Calls() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls := make(map[string]int, len(c.calls))
	for action, n := range c.calls {
		calls[action] = n
	}
	return calls
}

// remove deletes a file of the cloud, which may be gone.
func (c *Cloud) remove(path string) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		c.cfg.Log.Error("remove a disk", "err", err)
	}
}
