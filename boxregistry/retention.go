package boxregistry

import "time"

// Retention says which versions of a box stay when new ones come. The zero value keeps everything. A version goes only
// when every rule that is set lets it go.
type Retention struct {
	KeepLast  int           // the highest released versions; 0 sets no such rule
	KeepNewer time.Duration // versions that were released less than this ago; 0 sets no such rule
}

// Set reports whether any rule is set.
func (r Retention) Set() bool { return r.KeepLast > 0 || r.KeepNewer > 0 }

// InUse is how long a version counts as used after somebody downloaded it: retention never takes one from under users.
const InUse = 30 * 24 * time.Hour

// Expired is the versions that retention lets go at a time, highest first. It never takes a draft, a pinned version, one
// that somebody downloaded within InUse, the highest version of any channel, or one that is revoked or deleted already.
func (r Retention) Expired(b Box, now time.Time) []Release {
	if !r.Set() {
		return nil
	}
	heads := map[Channel]bool{}
	kept := 0
	var out []Release
	for _, rel := range b.Releases {
		if !rel.Open() {
			continue
		}
		head := false
		for _, c := range rel.Channels {
			head = head || !heads[c]
			heads[c] = true
		}
		kept++
		if !head && !rel.Pinned && r.lets(rel, kept, now) {
			out = append(out, rel)
		}
	}
	return out
}

// lets says whether the rules let the version go that is the nth highest.
func (r Retention) lets(rel Release, nth int, now time.Time) bool {
	switch {
	case nth <= r.KeepLast:
		return false
	case r.KeepNewer > 0 && now.Sub(rel.Released) < r.KeepNewer:
		return false
	case !rel.LastUsed.IsZero() && now.Sub(rel.LastUsed) < InUse:
		return false
	}
	return true
}
