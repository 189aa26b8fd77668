package boxregistry

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drawBox is a box with versions in every state, highest first.
func drawBox(r *rapid.T, now time.Time) Box {
	var b Box
	n := rapid.IntRange(0, 12).Draw(r, "versions")
	for i := n; i > 0; i-- {
		v, err := ParseVersion(fmt.Sprint(i))
		if err != nil {
			r.Fatal(err)
		}
		rel := Release{Version: v, State: rapid.SampledFrom([]State{Draft, Released, Released, Released, Revoked}).Draw(r, "state"), Files: []File{{Digest: "x"}}}
		ago := func(name string) time.Time {
			return now.Add(-time.Duration(rapid.IntRange(0, 100*24).Draw(r, name)) * time.Hour)
		}
		if rel.State != Draft {
			rel.Released = ago("released")
			rel.Channels = rapid.SampledFrom([][]Channel{{Stable}, {Candidate}, {Candidate, Stable}, {"nightly"}}).Draw(r, "channels")
		}
		if rapid.Bool().Draw(r, "used") {
			rel.LastUsed = ago("used")
		}
		rel.Pinned = rapid.IntRange(0, 4).Draw(r, "pinned") == 0
		if rapid.IntRange(0, 4).Draw(r, "deleted") == 0 {
			rel.Deleted = now
		}
		b.Releases = append(b.Releases, rel)
	}
	return b
}

// TestRetentionNeverTakes: whatever the rules, what somebody may need stays; and what the rules let go goes.
func TestRetentionNeverTakes(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(r *rapid.T) {
		b := drawBox(r, now)
		rules := Retention{KeepLast: rapid.IntRange(0, 5).Draw(r, "last"), KeepNewer: time.Duration(rapid.IntRange(0, 50).Draw(r, "newer")) * 24 * time.Hour}
		gone := rules.Expired(b, now)
		goes := func(rel Release) bool {
			return slices.ContainsFunc(gone, func(g Release) bool { return g.Version.Compare(rel.Version) == 0 })
		}
		nth, heads := 0, map[Channel]bool{}
		for _, rel := range b.Releases {
			if !rel.Open() {
				if goes(rel) {
					r.Fatalf("%s is %s, deleted %v, and goes", rel.Version, rel.State, rel.Deleted)
				}
				continue
			}
			nth++
			head := false
			for _, c := range rel.Channels {
				head, heads[c] = head || !heads[c], true
			}
			stays := !rules.Set() || head || rel.Pinned || nth <= rules.KeepLast || now.Sub(rel.Released) < rules.KeepNewer ||
				!rel.LastUsed.IsZero() && now.Sub(rel.LastUsed) < InUse
			if stays == goes(rel) {
				r.Fatalf("%s, number %d from the top, must stay: %v; it goes: %v; %+v under %+v", rel.Version, nth, stays, goes(rel), rel, rules)
			}
		}
		for _, c := range ChannelsOf(b) {
			before := b.VisibleIn(c)
			if len(before) > 0 && goes(before[0]) {
				r.Fatalf("the newest version %s that followers of %q see goes", before[0].Version, c)
			}
		}
	})
}
