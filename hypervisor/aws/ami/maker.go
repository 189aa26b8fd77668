package ami

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"golang.org/x/sync/errgroup"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
)

// Maker makes the images of one attempt of a build, and removes them. Its methods may be called from several goroutines.
//
// A method that makes something leaves what it has made when it fails: its caller wrote down before the call that there may be
// something, and removes it by [Maker.Sweep], as after a crash.
type Maker struct {
	// In gives the calls of a region: the In of an account.
	In func(region string) *account.Region
	// Home is the region of the build.
	Home string
	// Owner is whose the images are; each has its tags.
	Owner hypervisor.Tag
	// Tell hears what happens, from several goroutines at once; nil if nobody listens.
	Tell func(Event)
}

// Event is something that has happened to an image.
type Event struct {
	Region string
	// Text is what to tell the user, such as "AMI ami-1 is available".
	Text string
	// Percent is how far the wait is that Text names, NoPercent for what is no wait.
	Percent int
}

// NoPercent is the Percent of an event that is over as soon as it is told.
const NoPercent = -1

// Image is an image that there is.
type Image struct {
	Region string `json:"region"`
	ID     string `json:"id"`
	Name   string `json:"name"`
	// Snapshots are those that were made for the image. It may have others, which the template brought.
	Snapshots []string `json:"snapshots"`
}

// Instance is what an image is made of.
type Instance struct {
	ID string
	// Stopped says that nothing writes to the volumes any more. Otherwise EC2 reboots the instance to freeze them.
	Stopped bool
}

// FromInstance makes images of an instance's volumes: one for each region of w, that of the build first. It returns when all are
// available and as w wants them.
func (m *Maker) FromInstance(ctx context.Context, in Instance, w Wanted) ([]Image, error) {
	return m.make(ctx, w, func(ctx context.Context, d draft) (Image, error) { return m.create(ctx, in, d) })
}

// FromSnapshots makes images of the snapshots that w.Devices name, as FromInstance does. It waits for the snapshots first. Those that
// carry the owner's tags are the image's own from then on: they get its tags, and are removed with it.
func (m *Maker) FromSnapshots(ctx context.Context, h Hardware, w Wanted) ([]Image, error) {
	return m.make(ctx, w, func(ctx context.Context, d draft) (Image, error) { return m.register(ctx, h, d) })
}

// FromImage makes images of one of the account's own in the region of the build, whose name and tags are not what w wants, such as that
// of ImportImage. Only a copy can have another name; the image itself is removed in the end, as an intermediate one.
func (m *Maker) FromImage(ctx context.Context, id string, w Wanted) ([]Image, error) {
	w.copied = true
	return m.make(ctx, w, func(ctx context.Context, _ draft) (Image, error) { return m.available(ctx, m.In(m.Home), id, nil) })
}

// make makes the first image by first, and of it all that w wants.
func (m *Maker) make(ctx context.Context, w Wanted, first func(context.Context, draft) (Image, error)) ([]Image, error) {
	if err := w.Check(m.Home); err != nil {
		return nil, err
	}
	final := m.draft(w)
	d := final
	if w.indirect() {
		d = m.intermediate(w)
	} else if err := m.makeRoom(ctx, m.In(m.Home), w); err != nil {
		return nil, err
	}
	from, err := first(ctx, d)
	if err != nil {
		return nil, err
	}
	images, err := m.copyAll(ctx, from, w, final)
	if err != nil {
		return nil, err
	}
	if w.indirect() {
		if err := m.Remove(ctx, from); err != nil {
			return nil, fmt.Errorf("remove the intermediate image: %w", err)
		}
	} else {
		images = slices.Insert(images, 0, from)
	}
	return images, m.publish(ctx, images, w)
}

// publish makes of images that are available what w wants: known to others, deprecated, and protected at the very end.
func (m *Maker) publish(ctx context.Context, images []Image, w Wanted) error {
	err := eachOf(ctx, images, func(ctx context.Context, im Image) error { return m.settle(ctx, im, w) })
	if err != nil || !w.Protection.Enabled {
		return err
	}
	return eachOf(ctx, images, func(ctx context.Context, im Image) error { return m.protect(ctx, im, w.Protection) })
}

// eachOf does something to all of a list at once. The first error ends the others.
func eachOf[T any](ctx context.Context, list []T, do func(context.Context, T) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, v := range list {
		g.Go(func() error { return do(ctx, v) })
	}
	return g.Wait()
}

// tell reports an event.
func (m *Maker) tell(region string, percent int, format string, args ...any) {
	if m.Tell != nil {
		m.Tell(Event{region, fmt.Sprintf(format, args...), percent})
	}
}

// draft is what one image is made with.
type draft struct {
	name, description string
	devices           []types.BlockDeviceMapping
	tags, snapTags    []types.Tag
	imds              types.ImdsSupportValues
}

// draft is the image that the user finds.
func (m *Maker) draft(w Wanted) draft {
	return draft{
		name: w.Name, description: w.Description, devices: w.Devices, imds: types.ImdsSupportValues(w.IMDSSupport),
		tags: account.Tags(m.Owner, w.Name, w.Tags), snapTags: account.Tags(m.Owner, w.Name, w.snapshotTags()),
	}
}

// intermediate is an image that nobody shall find. Its name is that of no other attempt and, unlike a random one, the same when a
// call is sent twice.
func (m *Maker) intermediate(w Wanted) draft {
	const enough = 16 // hex digits
	d := m.draft(w)
	d.name = "boxkiln-intermediate-" + account.Token(m.Owner, "intermediate image of "+w.Name)[:enough]
	d.tags = account.Tags(m.Owner, d.name, nil)
	d.snapTags = d.tags
	return d
}
