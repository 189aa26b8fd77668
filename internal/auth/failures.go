package auth

import (
	"sync"
	"time"
)

const (
	// FailuresAllowed is how often something may be refused to one address or name in a FailureWindow.
	FailuresAllowed = 5
	FailureWindow   = time.Minute
	// maxFailing bounds the memory; when there are more, all others share one count.
	maxFailing = 1000
)

// Failures counts refused tokens and passwords, by the address that sent them or the name that they were for. A token cannot
// be guessed; this keeps who tries from costing much. The zero value is ready, and may be used from several goroutines.
type Failures struct {
	mu    sync.Mutex
	byKey map[string]failing
}

type failing struct {
	count int
	until time.Time // when it is forgotten
}

// Wait is how long nobody may try again under a key.
func (f *Failures) Wait(key string, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if known := f.byKey[f.key(key)]; known.count >= FailuresAllowed {
		return max(0, known.until.Sub(now))
	}
	return 0
}

// Count counts one more.
func (f *Failures) Count(key string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byKey == nil {
		f.byKey = map[string]failing{}
	}
	for k, known := range f.byKey {
		if !now.Before(known.until) {
			delete(f.byKey, k)
		}
	}
	key = f.key(key)
	known := f.byKey[key]
	if known.count == 0 {
		known.until = now.Add(FailureWindow)
	}
	known.count++
	f.byKey[key] = known
}

// key is where a key is counted.
func (f *Failures) key(key string) string {
	if _, known := f.byKey[key]; !known && len(f.byKey) >= maxFailing {
		return ""
	}
	return key
}
