// An app as Google documents it: it asks Google Ads with a key file, and knows nothing of Vault or the simulators.
// Usage: node list-customers.mjs KEY_FILE
import {GoogleAuth} from 'google-auth-library';

const auth = new GoogleAuth({keyFile: process.argv[2], scopes: ['https://www.googleapis.com/auth/adwords']});
try {
  const answer = await auth.request({url: 'https://googleads.googleapis.com/v26/customers:listAccessibleCustomers'});
  console.log(JSON.stringify(answer.data));
} catch (error) {
  console.log(JSON.stringify({refused: error.response?.data?.error ?? error.code ?? error.message}));
  process.exitCode = 1;
}
