// Package cloud simulates Amazon EC2, EBS direct, S3 and as much of STS as clients ask for, well enough that Debian's Packer and
// awscli build images on it, with real guests under QEMU.
//
// A [Cloud] is an http.Handler for all services; which one is meant, and in which region, says the scope of a request's signature.
// As the real service, it is only eventually consistent: an object that was just made is not found the first time that somebody
// asks for it, in lists neither, and states take their time ([Config]). A ClientToken is honoured, names are taken, dependencies are
// violated. An action that there is not here is refused by name (InvalidAction), and so is what would change the outcome of one
// that there is (UnsupportedOperation); parameters about performance, placement and licences are taken and forgotten.
// [Cloud.Inject] makes calls fail and what they make go wrong. Tests see what is left by [Cloud.Objects] and end their client
// between any two calls, or while it waits for an answer, by [Cloud.AfterCalls].
//
// What is real: the bytes of disks, from S3, EBS direct or a guest to volumes, snapshots, images and copies, as sparse files; the
// guests, when [Config] has a [QEMU], with the network card and the root disk that an instance has or nearly; conversion of what
// is imported, by qemu-img; the protocol of S3, by gofakes3.
//
// What is not:
//   - Signatures must be there and have the right form; they are not checked. Any key is let in, but those of AssumeRole need
//     their token and expire. There are no IAM policies, roles, instance profiles or KMS keys: names of them are taken as they are,
//     and a missing permission is a fault that a test injects. "Encrypted" is a word on a disk that is not.
//   - There is one account. Images of others can be published ([Cloud.Publish]), and none can be shared in fact.
//   - Networks are fixed: the default VPC and one without public addresses in every region. Every instance has an address of this
//     host's loopback network, 127.9.x.y, private and public ones alike, on which only its port 22 answers, and only if a security
//     group let this host in when it was started. Binding port 22 needs root.
//   - There is no metadata service, so no cloud-init: the key of an instance is written into the file system of its disk, for
//     every user with a home directory, before it boots (see [QEMU]). User data goes nowhere. IMDS options are only kept.
//   - Prices, quotas and capacity do not exist but as faults; all instances have the memory that [QEMU] says and one processor.
//     There is no ENA: a guest without its driver boots here, and may not in EC2. Spot requests are for one instance, once.
//   - Import tasks look at the guest only if [Config] says so, and then for a Linux with modules of a kernel; no driver is added.
//   - Lists have one page. S3 has no versions, tags, policies or encryption, and its uploads' ETags are not Amazon's.
//   - Fleets, launch templates, Elastic IPs, session manager and IAM are missing.
//
// Sources: EC2 API reference 2016-11-15; the EBS direct APIs reference; error texts as in moto's ec2/exceptions.py and as users
// have reported them. The texts of OperationNotPermitted (protected images) and of shared encrypted images are ours.
package cloud

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/johannesboyne/gofakes3"
)

// Account is the account that owns everything.
const Account = "123456789012"

// Config says how a cloud behaves. The zero value of each field but Dir is usable.
type Config struct {
	Dir     string        // for disks and machines; must exist
	Guests  Guests        // what runs the instances; nil for none: they run in name only
	Latency time.Duration // of every answer
	// Hidden is how many times a new object is not found when somebody asks for it, by its id or by what would select it in a
	// list: -1 for never. Default 1, and none with HiddenFor.
	Hidden int
	// HiddenFor is how long a new object is not found. Default 0.
	HiddenFor time.Duration
	// Pace is how long states take that nobody computes for, such as pending images. Default 100 ms.
	Pace time.Duration
	// Inspect has ImportImage look for a Linux with its kernel on the disk, as the service does, and refuse others. Off unless set:
	// disks of tests need not be systems.
	Inspect bool
	Log     *slog.Logger
}

// Cloud is the simulator.
type Cloud struct {
	cfg    Config
	ctx    context.Context // of guests and copies; ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu       sync.Mutex
	regions  map[string]*region
	faults   []*Fault
	requests []Request
	hook     func(Request)
	sessions map[string]session // of AssumeRole, by access key
	serial   int
	address  int // of the last instance, in 127.9.0.0/16

	buckets  *buckets
	protocol http.Handler // of S3
}

// New makes an empty cloud, with a default VPC in every region.
func New(cfg Config) *Cloud {
	if cfg.Hidden == 0 && cfg.HiddenFor == 0 {
		cfg.Hidden = 1
	}
	if cfg.Pace == 0 {
		cfg.Pace = 100 * time.Millisecond
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b := newBuckets(cfg.Dir)
	return &Cloud{
		cfg: cfg, ctx: ctx, cancel: cancel,
		regions: map[string]*region{}, sessions: map[string]session{},
		address: rand.IntN(1 << 16), // another simulator on this host would take the same otherwise
		buckets: b, protocol: gofakes3.New(b, gofakes3.WithLogger(gofakes3.DiscardLog())).Server(),
	}
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
			if c.cfg.Guests != nil { // whatever its state: whoever was ending its machine was cancelled above
				errs = errors.Join(errs, c.cfg.Guests.Kill(context.Background(), in.id))
			}
		}
	}
	return errs
}

// known are the regions that there are.
var known = []string{"us-east-1", "us-east-2", "us-west-2", "eu-central-1", "eu-west-1"}

// region is all that lives in one region.
type region struct {
	name      string
	vpcs      []*vpc
	subnets   []*subnet
	images    map[string]*image
	instances map[string]*instance
	volumes   map[string]*volume
	snapshots map[string]*snapshot
	groups    map[string]*group
	keys      map[string]*keyPair // by name
	tasks     map[string]*task
	spots     map[string]*spotRequest
	tokens    map[string]token // of calls that take one, by action
}

// region returns one that exists; c.mu is held.
func (c *Cloud) region(name string) *region {
	r, ok := c.regions[name]
	if !ok {
		r = &region{name: name, images: map[string]*image{}, instances: map[string]*instance{}, volumes: map[string]*volume{},
			snapshots: map[string]*snapshot{}, groups: map[string]*group{}, keys: map[string]*keyPair{}, tasks: map[string]*task{}, spots: map[string]*spotRequest{},
			tokens: map[string]token{}}
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
	hidden int       // how many times it is still not found
	dark   time.Time // until when it is not found at all
	ready  time.Time
	given  bool // nobody's doing: it was there from the beginning
	tags   tags
}

func (c *Cloud) object(prefix string) object {
	now := time.Now()
	return object{id: c.id(prefix), born: now, hidden: max(c.cfg.Hidden, 0), dark: now.Add(c.cfg.HiddenFor), ready: now.Add(c.cfg.Pace), tags: tags{}}
}

// show makes an object visible at once.
func (o *object) show() { o.hidden, o.dark = 0, time.Time{} }

// asked tells whether somebody who asks for the object finds it.
func (o *object) asked() bool {
	if time.Now().Before(o.dark) {
		return false
	}
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

// remove deletes a file of the cloud, which may be gone.
func (c *Cloud) remove(path string) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		c.cfg.Log.Error("remove a disk", "err", err)
	}
}
