package api

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

// Routes is what else answers behind the door: the registry's protocol, the web pages.
type Routes interface {
	Register(r gin.IRoutes)
}

// Door is all that one listener serves.
type Door struct {
	Tokens Checker
	// Sessions may be nil.
	Sessions Sessions
	// Private hides everything from those who are not known.
	Private bool
	API     *Server
	Others  []Routes
	// First answers some requests before anybody else, who asks being known, and says whether it did; it may be nil.
	First func(w http.ResponseWriter, r *http.Request) bool
	// NotFound answers what nobody else does.
	NotFound gin.HandlerFunc
}

// Handler puts it together: who asks is found out before anybody answers, and a handler that panics answers with 500.
func (d Door) Handler() http.Handler {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.HandleMethodNotAllowed = true
	r.Use(gin.CustomRecoveryWithWriter(nil, func(c *gin.Context, err any) {
		d.API.Log.Error("request panicked", "path", c.Request.URL.Path, "panic", err)
		c.AbortWithStatus(http.StatusInternalServerError)
	}), Guard(d.Tokens, d.Sessions))
	if d.Private {
		r.Use(private)
	}
	if d.First != nil {
		r.Use(func(c *gin.Context) {
			if d.First(c.Writer, c.Request) {
				c.Abort()
			}
		})
	}
	r.GET("/livez", func(c *gin.Context) { c.String(http.StatusOK, "ok\n") })
	d.API.Mount(r)
	for _, o := range d.Others {
		o.Register(r)
	}
	r.NoRoute(d.NotFound)
	return r
}
