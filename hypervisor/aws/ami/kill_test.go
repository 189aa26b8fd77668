package ami_test

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/boxkiln/boxkiln/hypervisor/aws/ami"
)

// flow makes images. It may make what it needs first.
type flow func(r *rig) (run func(context.Context) ([]ami.Image, error))

// flows are the two ways to an image, with all that can be wanted of one.
func flows() map[string]flow {
	return map[string]flow{
		"instance": func(r *rig) func(context.Context) ([]ami.Image, error) {
			w := all()
			w.Encryption = ami.Encryption{Boot: aws.Bool(true), RegionKeys: map[string]string{home: "alias/k", "eu-west-1": "alias/k", "us-west-2": "alias/k"}}
			return func(ctx context.Context) ([]ami.Image, error) { return r.fromInstance(ctx, w) }
		},
		"snapshots": func(r *rig) func(context.Context) ([]ami.Image, error) {
			w := all()
			w.Devices = []types.BlockDeviceMapping{device("/dev/xvda", r.ours())}
			return func(ctx context.Context) ([]ami.Image, error) {
				return r.maker.FromSnapshots(ctx, hardware(), w)
			}
		},
	}
}

// eachCall runs a flow again and again and has the answer of another call lost each time: of the first, of the second ... until the
// flow is through before it comes to that. check looks at what became of it; then all is swept away by somebody new.
func eachCall(r *rig, f flow, kill bool, check func(n int64, lost bool, made []ami.Image, err error)) {
	r.Helper()
	const few, many = 10, 1000
	for n := int64(1); n < many && !r.Failed(); n++ {
		r.maker.Owner.Attempt = int(n)
		run := f(r)
		ctx, cancel := context.WithCancel(r.Context())
		onLoss := func() {}
		if kill {
			onLoss = cancel
		}
		lost := r.losing(n, onLoss)
		made, err := run(ctx)
		cancel()
		was := lost.Load()
		check(n, was, made, err)
		r.restart()
		r.maker.Owner.Attempt = int(n)
		r.sweep()
		if !was && n > few {
			return
		}
	}
	r.Errorf("the flow did not make between %d and %d calls", few, many)
}

// TestKilled ends the maker at every call: the call has its effect and nobody gets the answer. Whoever comes after it knows the owner
// and the regions, and leaves nothing.
func TestKilled(t *testing.T) {
	t.Parallel()
	for name, f := range flows() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachCall(newRig(t), f, true, func(n int64, lost bool, made []ami.Image, err error) {
				if lost == (err == nil) {
					t.Errorf("killed at call %d, it made %v, %v", n, made, err)
				}
			})
		})
	}
}

// TestAnswerLost has the connection break at every call, and the SDK send it again: each image is made once, and the right one.
func TestAnswerLost(t *testing.T) {
	t.Parallel()
	for name, f := range flows() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			eachCall(r, f, false, func(n int64, _ bool, made []ami.Image, err error) {
				if err != nil || len(made) != 3 {
					t.Fatalf("with the answer of call %d lost: %v, %v", n, made, err)
				}
				r.left(map[string]int{"images": 3, "snapshots": 3})
				for _, im := range made {
					if got := r.image(im); *got.Name != "golden" || aws.ToString(got.DeregistrationProtection) == "disabled" {
						t.Errorf("%s: %+v", im.Region, got)
					}
				}
			})
		})
	}
}

// TestSweepKilled ends a sweep at every call, and has another one do the rest.
func TestSweepKilled(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sweep := func(r *rig) func(context.Context) ([]ami.Image, error) {
		if _, err := r.fromInstance(t.Context(), all()); err != nil {
			t.Fatal(err)
		}
		return func(ctx context.Context) ([]ami.Image, error) { return nil, r.maker.Sweep(ctx, regions()) }
	}
	eachCall(r, sweep, true, func(n int64, lost bool, _ []ami.Image, err error) {
		if lost == (err == nil) {
			t.Errorf("killed at call %d: %v", n, err)
		}
	})
}
