"""What tests of several folders share: stages, servers, engines of their own."""
