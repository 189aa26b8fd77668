package steps

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/boxkiln/boxkiln/iso/seedhttp"
)

func get(f *fetches, path string, status int, whole bool) {
	f.note(seedhttp.Request{Method: "GET", Path: path, Status: status, Whole: whole})
}

func TestFetched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var f fetches
		get(&f, "/old", 200, true)
		f.start()
		told := make(chan error)
		wait := func(ctx context.Context) { told <- f.Fetched(ctx) }
		go wait(t.Context())
		get(&f, "/nope", 404, false)
		f.note(seedhttp.Request{Method: "HEAD", Path: "/ks.cfg", Status: 200})
		get(&f, "/cut", 200, false)
		synctest.Wait()
		select {
		case err := <-told:
			t.Fatalf("took what brings nothing for a fetch: %v", err)
		default:
		}
		get(&f, "/ks.cfg", 206, false)
		if err := <-told; err != nil {
			t.Fatal(err)
		}
		get(&f, "/ks.cfg", 200, true)
		get(&f, "/next", 200, true)
		if err := f.Fetched(t.Context()); err != nil { // it came between two waits
			t.Fatal(err)
		}
		gone := errors.New("the machine is gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		go wait(ctx)
		synctest.Wait()
		cancel(gone)
		if err := <-told; !errors.Is(err, gone) {
			t.Errorf("told a fetch twice: %v", err)
		}
	})
}

func TestFetchLoop(t *testing.T) {
	t.Parallel()
	var f fetches
	var told []error
	tell := func(err error) { told = append(told, err) }
	for range 3 * fetchLimit { // before the boot command
		get(&f, "/preseed.cfg", 200, true)
	}
	f.start()
	stop := f.watch(tell)
	for range 3 * fetchLimit {
		get(&f, "/preseed.cfg", 404, false)
		get(&f, "/preseed.cfg", 206, false)
		f.note(seedhttp.Request{Method: "HEAD", Path: "/preseed.cfg", Status: 200})
	}
	for i := range fetchLimit - 1 {
		get(&f, "/preseed.cfg", 200, true)
		get(&f, "/package-"+string(rune('a'+i)), 200, true)
	}
	if len(told) != 0 {
		t.Fatalf("told too early: %v", told)
	}
	get(&f, "/preseed.cfg", 200, true)
	get(&f, "/preseed.cfg", 200, true)
	const want = "the guest fetched /preseed.cfg 10 times: the installer starts over again and again; is the boot order right, does the installation fail?"
	if len(told) != 1 || told[0].Error() != want {
		t.Fatalf("told %v", told)
	}
	stop()
	f.watch(tell)() // a wait that begins too late is told at once
	if len(told) != 2 {
		t.Errorf("told %v", told)
	}
	f.start()
	f.watch(tell)()
	if len(told) != 2 {
		t.Errorf("a wait after a login is told of what was before: %v", told)
	}
	for range 2 * fetchLimit {
		get(&f, "/preseed.cfg", 200, true) // nobody waits
	}
	if len(told) != 2 {
		t.Errorf("told nobody: %v", told)
	}
}
