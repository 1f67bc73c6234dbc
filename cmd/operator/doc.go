// Package operator is what the server and the operator's tool say to each
// other on the admin listener: the answers of /instantd/, the signature of a
// request, and the client that asks. Start from Client.
//
//	client := operator.New("127.0.0.1:18080", secret)
//	user, err := client.User(ctx, "34020000001320000001")
//
// It shows what is; it changes nothing but by the center's own commands, which
// Base sends.
package operator
