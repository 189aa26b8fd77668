package vagrantapi

import (
	"container/list"
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/singleflight"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// What is rendered is kept within these bounds, in bytes. Every "vagrant up" of everybody asks for the catalog of a box with
// all its versions, so there are few that are asked for often, and the largest have some hundred kilobytes.
const (
	catalogBudget = 12 << 20
	objectBudget  = 2 << 20
)

// cache keeps what was rendered of a box at a revision of the registry. When it is full, what was asked for longest ago goes.
type cache[K comparable, V any] struct {
	mu      sync.Mutex
	budget  int
	used    int
	kept    map[K]*list.Element
	order   *list.List // of *entry[K, V], the one asked for last at the front
	renders singleflight.Group
}

type entry[K comparable, V any] struct {
	key      K
	revision uint64
	value    V
	size     int
}

func newCache[K comparable, V any](budget int) *cache[K, V] {
	return &cache[K, V]{budget: budget, kept: map[K]*list.Element{}, order: list.New()}
}

// revision is that of a box, and whether what is rendered of it can be kept.
func (a *API) revision(name boxregistry.Name) (revision uint64, keep bool) {
	if a.o.Revision == nil {
		return 0, false
	}
	return a.o.Revision(name)
}

// load is the value of k at a revision: the one that is kept, or else a new one, made once for all that ask meanwhile. The
// revision must have been read before anything that make reads.
func (c *cache[K, V]) load(ctx context.Context, k K, revision uint64, keep bool, render func(context.Context) (V, int, error)) (V, error) {
	if !keep {
		v, _, err := render(ctx)
		return v, err
	}
	if v, ok := c.get(k, revision); ok {
		return v, nil
	}
	v, err, _ := c.renders.Do(fmt.Sprint(k, revision), func() (any, error) {
		// One of several waits for the answer; that it goes must not end it for the others.
		v, size, err := render(context.WithoutCancel(ctx))
		if err == nil {
			c.put(&entry[K, V]{k, revision, v, size})
		}
		return v, err
	})
	return v.(V), err
}

func (c *cache[K, V]) get(k K, revision uint64) (v V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	el := c.kept[k]
	if el == nil {
		return v, false
	}
	e := el.Value.(*entry[K, V])
	if e.revision != revision {
		return v, false
	}
	c.order.MoveToFront(el)
	return e.value, true
}

// entrySize is about what an entry costs besides its value.
const entrySize = 512

func (c *cache[K, V]) put(e *entry[K, V]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.size += entrySize
	if old := c.kept[e.key]; old != nil {
		c.drop(old)
	}
	if e.size > c.budget {
		return
	}
	c.kept[e.key] = c.order.PushFront(e)
	c.used += e.size
	for c.used > c.budget {
		c.drop(c.order.Back())
	}
}

func (c *cache[K, V]) drop(el *list.Element) {
	e := c.order.Remove(el).(*entry[K, V])
	delete(c.kept, e.key)
	c.used -= e.size
}
