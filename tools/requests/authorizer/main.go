// Command authorizer is the least that an external authorizer of Envoy can be: it allows every request.
//
// In: -socket, where it listens. What one costs that decides something comes on top.
package main

import (
	"context"
	"flag"
	"log"
	"net"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
)

type authorizer struct {
	auth.UnimplementedAuthorizationServer
}

var allowed = &auth.CheckResponse{
	Status:       &status.Status{},
	HttpResponse: &auth.CheckResponse_OkResponse{OkResponse: &auth.OkHttpResponse{}},
}

func (authorizer) Check(context.Context, *auth.CheckRequest) (*auth.CheckResponse, error) {
	return allowed, nil
}

func main() {
	socket := flag.String("socket", "", "path of the Unix socket to listen on")
	flag.Parse()
	listener, err := net.Listen("unix", *socket)
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	auth.RegisterAuthorizationServer(server, authorizer{})
	log.Fatal(server.Serve(listener))
}
