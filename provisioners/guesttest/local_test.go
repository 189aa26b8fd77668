package guesttest_test

import (
	"testing"

	"github.com/boxkiln/boxkiln/provisioners/guesttest"
)

func TestLocal(t *testing.T) {
	t.Parallel()
	guesttest.Run(t, func(t *testing.T) guesttest.Subject {
		l := &guesttest.Local{}
		return guesttest.Subject{Guest: l, Dir: t.TempDir(), Drop: l.Drop}
	})
}
